using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Text.Encodings.Web;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>
/// Writes a safetensors file whose tensors come one after the other, in pieces of any size. The header promises names,
/// shapes and sizes first; the file takes its name only when exactly the promised bytes were written.
/// </summary>
/// <remarks>Tensors lie without gaps in the order given; whoever wants aligned floats gives the widest elements first.</remarks>
public sealed unsafe class SafetensorsWriter : IDisposable
{
    private const int ChunkBytes = 1 << 30;

    private readonly IReadOnlyList<TensorSpec> _tensors;
    private readonly AtomicFile _file;
    private int _current;
    private long _remaining;

    /// <summary>Opens the temporary file and writes the header.</summary>
    /// <param name="path">The name that the file shall have in the end.</param>
    /// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>.</param>
    /// <exception cref="LowbitException">The file cannot be written, or a format, name or shape has no place in safetensors.</exception>
    public SafetensorsWriter(string path, IReadOnlyList<TensorSpec> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        byte[] header = Header(path, tensors, metadata);
        _tensors = tensors;
        _file = new AtomicFile(path);
        try
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            _file.Write(length);
            _file.Write(header);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
        _current = -1;
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
    public void Dispose() => _file.Dispose();

    internal void CheckComplete()
    {
        if (_current < _tensors.Count) throw new InvalidOperationException($"{_tensors[_current].Name} lacks {_remaining} of the promised bytes");
    }

    private void NextTensor()
    {
        do _current++;
        while (_current < _tensors.Count && _tensors[_current].Bytes == 0);
        _remaining = _current < _tensors.Count ? _tensors[_current].Bytes : 0;
    }

    // Padded with blanks so that the data begin at a multiple of 8.
    private static byte[] Header(string path, IReadOnlyList<TensorSpec> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata.Count > 0)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            HashSet<string> names = ["__metadata__"];
            long offset = 0;
            foreach (TensorSpec tensor in tensors)
            {
                if (!names.Add(tensor.Name)) throw new LowbitException($"{path}: the tensor name '{tensor.Name}' is taken; names must differ.");
                string type = SafetensorsTypes.Name(tensor.Format) ?? throw new LowbitException(
                    $"{path}: tensor {tensor.Name} has the format {tensor.Format}, which safetensors does not know; write it as U8 bytes or choose GGUF.");
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", type);
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape) json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset = checked(offset + tensor.Bytes));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0) stream.WriteByte((byte)' ');
        if (stream.Length > SafetensorsHeader.MaximumBytes)
            throw new LowbitException($"{path}: the header would have {stream.Length} bytes, more than the {SafetensorsHeader.MaximumBytes} that readers accept; write several files.");
        return stream.ToArray();
    }
}
