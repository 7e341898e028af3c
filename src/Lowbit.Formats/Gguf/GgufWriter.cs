using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>
/// Writes a GGUF file of version 3 whose tensors come one after the other, in pieces of any size. The table promises names,
/// shapes and sizes first; the file takes its name only when exactly the promised bytes were written.
/// </summary>
public sealed unsafe class GgufWriter : IDisposable
{
    private const uint Version = 3;
    private const int Alignment = 32; // the default, so that no metadata has to say it
    private const int ChunkBytes = 1 << 30;

    private readonly IReadOnlyList<GgufTensorSpec> _tensors;
    private readonly AtomicFile _file;
    private int _current = -1;
    private long _remaining, _position;

    /// <summary>Opens the temporary file and writes metadata and table.</summary>
    /// <param name="path">The name that the file shall have in the end.</param>
    /// <param name="metadata">All metadata; must not hold <c>general.alignment</c> other than 32.</param>
    /// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
    /// <exception cref="LowbitException">The file cannot be written, or a type, name or shape has no place in GGUF.</exception>
    public GgufWriter(string path, GgufMetadata metadata, IReadOnlyList<GgufTensorSpec> tensors)
    {
        HashSet<string> names = [];
        foreach (GgufTensorSpec tensor in tensors)
        {
            tensor.Measure();
            if (tensor.Name.Length == 0 || !names.Add(tensor.Name)) throw new LowbitException($"{path}: the tensor name '{tensor.Name}' is empty or taken; names must differ.");
        }
        _tensors = tensors;
        _file = new AtomicFile(path);
        try
        {
            WriteHead(metadata);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
        NextTensor();
    }

    /// <summary>Appends bytes to a tensor.</summary>
    /// <param name="name">The tensor whose turn it is.</param>
    /// <param name="bytes">Its next bytes.</param>
    /// <exception cref="InvalidOperationException">Another tensor was promised here, or fewer bytes.</exception>
    /// <exception cref="LowbitException">The disk is full.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* pointer = bytes) Write(name, pointer, bytes.Length);
    }

    /// <summary>Appends bytes to a tensor, more than 2 GiB if need be.</summary>
    /// <param name="name">The tensor whose turn it is.</param>
    /// <param name="bytes">First of its next bytes.</param>
    /// <param name="count">Number of bytes.</param>
    /// <exception cref="InvalidOperationException">Another tensor was promised here, or fewer bytes.</exception>
    /// <exception cref="LowbitException">The disk is full.</exception>
    public void Write(string name, byte* bytes, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count == 0) return;
        string? expected = _current < _tensors.Count ? _tensors[_current].Name : null;
        if (name != expected) throw new InvalidOperationException($"bytes of {name} were given where {expected ?? "the end"} was promised");
        if (count > _remaining) throw new InvalidOperationException($"{name} was given {count - _remaining} bytes more than promised");
        _remaining -= count;
        for (; count > 0; bytes += ChunkBytes, count -= ChunkBytes) Append(new ReadOnlySpan<byte>(bytes, (int)Math.Min(count, ChunkBytes)));
        if (_remaining == 0) NextTensor();
    }

    /// <summary>Flushes to disk and gives the file its name.</summary>
    /// <exception cref="InvalidOperationException">Promised bytes are missing.</exception>
    /// <exception cref="LowbitException">The disk is full or the name cannot be taken.</exception>
    public void Commit()
    {
        if (_current < _tensors.Count) throw new InvalidOperationException($"{_tensors[_current].Name} lacks {_remaining} of the promised bytes");
        _file.Commit();
    }

    /// <summary>Without <see cref="Commit"/> leaves nothing behind.</summary>
    public void Dispose() => _file.Dispose();

    private void WriteHead(GgufMetadata metadata)
    {
        Append("GGUF"u8);
        Append(Version);
        Append((ulong)_tensors.Count);
        Append((ulong)metadata.Count);
        metadata.WriteTo(Append);
        ulong offset = 0;
        foreach (GgufTensorSpec tensor in _tensors)
        {
            (uint type, long bytes) = tensor.Measure();
            Append(GgufMetadata.Text(tensor.Name));
            Append((uint)tensor.Shape.Length);
            for (int i = tensor.Shape.Length - 1; i >= 0; i--) Append((ulong)tensor.Shape[i]);
            Append(type);
            Append(offset);
            offset = checked((offset + (ulong)bytes + Alignment - 1) / Alignment * Alignment);
        }
        Pad();
    }

    private void NextTensor()
    {
        if (_current >= 0) Pad();
        do _current++;
        while (_current < _tensors.Count && _tensors[_current].Bytes == 0);
        _remaining = _current < _tensors.Count ? _tensors[_current].Bytes : 0;
    }

    private void Pad()
    {
        Span<byte> zeros = stackalloc byte[Alignment];
        zeros.Clear();
        Append(zeros[..(int)(-_position & (Alignment - 1))]);
    }

    private void Append(uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        Append(bytes);
    }

    private void Append(ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        Append(bytes);
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        _file.Write(bytes);
        _position += bytes.Length;
    }
}
