using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>A trusted little reader for the reference cases.</summary>
internal sealed class SafetensorsCase
{
    private readonly Dictionary<string, (int[] Shape, byte[] Bytes)> _tensors = [];

    public SafetensorsCase(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(file));
        using JsonDocument json = JsonDocument.Parse(file.AsMemory(8, header));
        foreach (JsonProperty property in json.RootElement.EnumerateObject())
        {
            if (property.Name == "__metadata__")
            {
                foreach (JsonProperty entry in property.Value.EnumerateObject()) Metadata[entry.Name] = entry.Value.GetString()!;
                continue;
            }
            int[] shape = JsonSerializer.Deserialize<int[]>(property.Value.GetProperty("shape"))!;
            int[] offsets = JsonSerializer.Deserialize<int[]>(property.Value.GetProperty("data_offsets"))!;
            _tensors[property.Name] = (shape, file[(8 + header + offsets[0])..(8 + header + offsets[1])]);
        }
    }

    public Dictionary<string, string> Metadata { get; } = [];

    public int[] Shape(string name) => _tensors[name].Shape;

    public float[] Floats(string name) => MemoryMarshal.Cast<byte, float>(_tensors[name].Bytes).ToArray();

    public bool[] Flags(string name) => Array.ConvertAll(_tensors[name].Bytes, value => value != 0);
}
