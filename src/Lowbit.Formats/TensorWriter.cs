using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Formats;

/// <summary>
/// Writes a file whose tensors come one after the other, in pieces of any size. The head promises names, shapes and sizes
/// first; the file takes its name only when exactly the promised bytes were written.
/// </summary>
public abstract unsafe class TensorWriter : IDisposable
{
    private const int ChunkBytes = 1 << 30;

    private readonly IReadOnlyList<(string Name, long Bytes)> _tensors;
    private readonly int _alignment;
    private readonly AtomicFile _file;
    private int _current = -1;
    private long _remaining;

    /// <summary>Opens the temporary file and writes the head.</summary>
    /// <param name="path">The name that the file shall have in the end.</param>
    /// <param name="head">All that comes before the tensors.</param>
    /// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
    /// <param name="alignment">Zeros follow the head and each tensor up to a multiple of it.</param>
    private protected TensorWriter(string path, byte[] head, IReadOnlyList<(string Name, long Bytes)> tensors, int alignment)
    {
        (_tensors, _alignment, _file) = (tensors, alignment, new AtomicFile(path));
        try
        {
            _file.Write(head);
            NextTensor();
        }
        catch
        {
            _file.Dispose();
            throw;
        }
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
        for (; count > 0; bytes += ChunkBytes, count -= ChunkBytes) _file.Write(new ReadOnlySpan<byte>(bytes, (int)Math.Min(count, ChunkBytes)));
        if (_remaining == 0) NextTensor();
    }

    /// <summary>Flushes to disk and gives the file its name.</summary>
    /// <exception cref="InvalidOperationException">Promised bytes are missing.</exception>
    /// <exception cref="LowbitException">The disk is full or the name cannot be taken.</exception>
    public void Commit()
    {
        CheckComplete();
        _file.Commit();
    }

    /// <summary>Without <see cref="Commit"/> leaves nothing behind.</summary>
    public void Dispose()
    {
        _file.Dispose();
        GC.SuppressFinalize(this);
    }

    internal void CheckComplete()
    {
        if (_current < _tensors.Count) throw new InvalidOperationException($"{_tensors[_current].Name} lacks {_remaining} of the promised bytes");
    }

    private void NextTensor()
    {
        _file.Write(new byte[(_alignment - _file.Stream.Position % _alignment) % _alignment]);
        do _current++;
        while (_current < _tensors.Count && _tensors[_current].Bytes == 0);
        _remaining = _current < _tensors.Count ? _tensors[_current].Bytes : 0;
    }
}
