using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

namespace Lowbit.Formats.Gguf;

/// <summary>Metadata of a GGUF file to be written, in the order in which they were added; each key once, the last value counts.</summary>
public sealed class GgufMetadata
{
    private readonly OrderedDictionary<string, (GgufType Type, byte[] Payload)> _entries = [];

    /// <summary>Number of entries.</summary>
    public int Count => _entries.Count;

    /// <summary>Sets a number or truth value.</summary>
    /// <typeparam name="T">An integer of 8 to 64 bits, <see cref="float"/>, <see cref="double"/> or <see cref="bool"/>.</typeparam>
    /// <param name="key">Key.</param>
    /// <param name="value">Value.</param>
    public void Set<T>(string key, T value) where T : unmanaged => Set(key, TypeOf<T>(), MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray());

    /// <summary>Sets a text.</summary>
    /// <param name="key">Key.</param>
    /// <param name="value">Value.</param>
    public void Set(string key, string value)
    {
        using MemoryStream stream = new();
        Append(stream, value);
        Set(key, GgufType.String, stream.ToArray());
    }

    /// <summary>Sets an array of numbers or truth values.</summary>
    /// <inheritdoc cref="Set{T}(string, T)"/>
    public void SetArray<T>(string key, ReadOnlySpan<T> value) where T : unmanaged
    {
        using MemoryStream stream = new();
        Append(stream, TypeOf<T>(), value.Length);
        stream.Write(MemoryMarshal.AsBytes(value));
        Set(key, GgufType.Array, stream.ToArray());
    }

    /// <summary>Sets an array of texts.</summary>
    /// <param name="key">Key.</param>
    /// <param name="value">Values.</param>
    public void SetArray(string key, IReadOnlyCollection<string> value)
    {
        using MemoryStream stream = new();
        Append(stream, GgufType.String, value.Count);
        foreach (string text in value) Append(stream, text);
        Set(key, GgufType.Array, stream.ToArray());
    }

    /// <summary>Takes a value of another file over, byte for byte.</summary>
    /// <param name="key">Key.</param>
    /// <param name="value">Value of a file that is still open.</param>
    public void Set(string key, GgufValue value) => Set(key, value.Type, value.Payload().ToArray());

    internal void WriteTo(Action<ReadOnlySpan<byte>> write)
    {
        Span<byte> type = stackalloc byte[4];
        foreach ((string key, (GgufType Type, byte[] Payload) entry) in _entries)
        {
            write(Text(key));
            BinaryPrimitives.WriteUInt32LittleEndian(type, (uint)entry.Type);
            write(type);
            write(entry.Payload);
        }
    }

    /// <summary>A text as the format has it: its length in 64 bits and UTF-8.</summary>
    internal static byte[] Text(string text)
    {
        byte[] bytes = new byte[sizeof(ulong) + Encoding.UTF8.GetByteCount(text)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, bytes.Length - sizeof(ulong));
        Encoding.UTF8.GetBytes(text, bytes.AsSpan(sizeof(ulong)));
        return bytes;
    }

    private void Set(string key, GgufType type, byte[] payload)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        _entries[key] = (type, payload);
    }

    private static void Append(MemoryStream stream, string text) => stream.Write(Text(text));

    private static void Append(MemoryStream stream, GgufType type, long count)
    {
        Span<byte> head = stackalloc byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(head, (uint)type);
        BinaryPrimitives.WriteInt64LittleEndian(head[4..], count);
        stream.Write(head);
    }

    private static GgufType TypeOf<T>() =>
        typeof(T) == typeof(byte) ? GgufType.UInt8
        : typeof(T) == typeof(sbyte) ? GgufType.Int8
        : typeof(T) == typeof(ushort) ? GgufType.UInt16
        : typeof(T) == typeof(short) ? GgufType.Int16
        : typeof(T) == typeof(uint) ? GgufType.UInt32
        : typeof(T) == typeof(int) ? GgufType.Int32
        : typeof(T) == typeof(float) ? GgufType.Float32
        : typeof(T) == typeof(bool) ? GgufType.Bool
        : typeof(T) == typeof(ulong) ? GgufType.UInt64
        : typeof(T) == typeof(long) ? GgufType.Int64
        : typeof(T) == typeof(double) ? GgufType.Float64
        : throw new ArgumentException($"GGUF has no metadata of the type {typeof(T).Name}");
}
