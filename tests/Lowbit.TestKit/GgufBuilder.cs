using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using Lowbit.Formats.Gguf;

namespace Lowbit.TestKit;

/// <summary>Small GGUF files for tests, right or deliberately wrong.</summary>
public sealed class GgufBuilder
{
    private readonly List<(string Key, GgufType Type, byte[] Payload)> _metadata = [];
    private readonly List<(string Name, uint Type, long[] Shape, byte[] Data, long? Offset)> _tensors = [];

    public uint Version { get; init; } = 3;

    public int Alignment { get; init; } = 32;

    /// <summary>Adds a value: a number, bool, string, or an array of them, or an object[] of arrays.</summary>
    public GgufBuilder Add(string key, object value)
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        GgufType type = WriteValue(writer, value);
        writer.Flush();
        return AddRaw(key, type, stream.ToArray());
    }

    /// <summary>Adds a value whose bytes the test makes up.</summary>
    public GgufBuilder AddRaw(string key, GgufType type, byte[] payload)
    {
        _metadata.Add((key, type, payload));
        return this;
    }

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">Name.</param>
    /// <param name="type">ggml's number of the type.</param>
    /// <param name="shape">Our order: [outFeatures, inFeatures].</param>
    /// <param name="data">Its bytes.</param>
    /// <param name="offset">Where the table says that it begins; null for where it does.</param>
    public GgufBuilder Tensor(string name, uint type, long[] shape, byte[] data, long? offset = null)
    {
        _tensors.Add((name, type, shape, data, offset));
        return this;
    }

    public byte[] Build()
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write("GGUF"u8);
        writer.Write(Version);
        writer.Write((long)_tensors.Count);
        writer.Write((long)_metadata.Count);
        foreach ((string key, GgufType type, byte[] payload) in _metadata)
        {
            WriteString(writer, key);
            writer.Write((uint)type);
            writer.Write(payload);
        }
        long offset = 0;
        foreach ((string name, uint type, long[] shape, byte[] data, long? claimed) in _tensors)
        {
            WriteString(writer, name);
            writer.Write(shape.Length);
            for (int i = shape.Length - 1; i >= 0; i--) writer.Write(shape[i]);
            writer.Write(type);
            writer.Write(claimed ?? offset);
            offset += Padded(data.Length);
        }
        foreach ((_, _, _, byte[] data, _) in _tensors)
        {
            writer.Flush();
            stream.SetLength(Padded(stream.Length));
            stream.Position = stream.Length;
            writer.Write(data);
        }
        writer.Flush();
        return stream.ToArray();
    }

    private long Padded(long length) => (length + Alignment - 1) / Alignment * Alignment;

    private static void WriteString(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((long)bytes.Length);
        writer.Write(bytes);
    }

    private static GgufType WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case byte v: writer.Write(v); return GgufType.UInt8;
            case sbyte v: writer.Write(v); return GgufType.Int8;
            case ushort v: writer.Write(v); return GgufType.UInt16;
            case short v: writer.Write(v); return GgufType.Int16;
            case uint v: writer.Write(v); return GgufType.UInt32;
            case int v: writer.Write(v); return GgufType.Int32;
            case float v: writer.Write(v); return GgufType.Float32;
            case bool v: writer.Write(v); return GgufType.Bool;
            case string v: WriteString(writer, v); return GgufType.String;
            case ulong v: writer.Write(v); return GgufType.UInt64;
            case long v: writer.Write(v); return GgufType.Int64;
            case double v: writer.Write(v); return GgufType.Float64;
            case Array v: WriteArray(writer, v); return GgufType.Array;
            default: throw new ArgumentException($"{value.GetType()} has no place in GGUF", nameof(value));
        }
    }

    private static void WriteArray(BinaryWriter writer, Array array)
    {
        using MemoryStream stream = new();
        using BinaryWriter elements = new(stream);
        GgufType type = GgufType.UInt8;
        foreach (object element in array) type = WriteValue(elements, element);
        elements.Flush();
        writer.Write((uint)type);
        writer.Write((long)array.Length);
        writer.Write(stream.ToArray());
    }
}
