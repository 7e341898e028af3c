using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using Lowbit.Formats.Safetensors;

namespace Lowbit.Quantization.Tests.Golden;

/// <summary>A reference case in plain arrays.</summary>
internal sealed class SafetensorsCase
{
    private readonly Dictionary<string, (int[] Shape, byte[] Bytes)> _tensors;

    public SafetensorsCase(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        _tensors = file.Tensors.Values.ToDictionary(tensor => tensor.Name, tensor => (tensor.Shape.Select(dimension => (int)dimension).ToArray(), tensor.Span.ToArray()));
        Metadata = file.Metadata.ToDictionary();
    }

    public Dictionary<string, string> Metadata { get; }

    public int[] Shape(string name) => _tensors[name].Shape;

    public float[] Floats(string name) => MemoryMarshal.Cast<byte, float>(_tensors[name].Bytes).ToArray();

    public bool[] Flags(string name) => Array.ConvertAll(_tensors[name].Bytes, value => value != 0);
}
