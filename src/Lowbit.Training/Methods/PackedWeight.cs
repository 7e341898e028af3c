using System;
using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Methods;

/// <summary>What a method made, packed into memory as it would be packed into a file.</summary>
public sealed unsafe class PackedWeight : IDisposable
{
    private readonly List<NativeBuffer> _memory = [];

    /// <summary>Packs.</summary>
    /// <param name="name">Name of the linear, for messages.</param>
    /// <param name="quantized">What the method made.</param>
    /// <exception cref="LowbitException">The method's codes have no packed form.</exception>
    public PackedWeight(string name, QuantizedMatrix quantized)
    {
        PackedMatrix packed = PackedMatrix.Of(quantized.Codes, quantized.ScalePrecision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32)
            ?? throw new LowbitException($"{name} has no packed form in this version; use another method.");
        Dictionary<string, Tensor> parts = [];
        foreach (PackedPart part in packed.Parts)
        {
            NativeBuffer memory = new(part.Bytes.Length);
            _memory.Add(memory);
            Bytes += part.Bytes.Length;
            part.Bytes.CopyTo(memory.Span<byte>(0, part.Bytes.Length));
            string full = $"{name}.{part.Suffix}";
            parts[full] = new Tensor(full, part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        using JsonDocument declaration = JsonDocument.Parse(packed.Declaration.ToJsonString());
        Matrix = PackedTensor.Read(name, name, declaration.RootElement).Load(name, parts.GetValueOrDefault, quantized.Codes.Rows, quantized.Codes.Columns);
    }

    /// <summary>The weight; not to be used after <see cref="Dispose"/>.</summary>
    public WeightMatrix Matrix { get; }

    /// <summary>Bytes in a file.</summary>
    public long Bytes { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (NativeBuffer memory in _memory) memory.Dispose();
    }
}
