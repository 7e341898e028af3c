using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

/// <summary>What a method returns and what its packed form gives are the same numbers.</summary>
public sealed unsafe class PackedFormTests
{
    [Theory]
    [InlineData("rtn", 4.375, "bits=4", "group-size=64")]
    [InlineData("rtn", 3.125, "bits=3", "group-size=-1", "symmetric=true")]
    [InlineData("gptq", 2.375, "bits=2", "group-size=64")]
    [InlineData("gptq", 5.8333, "bits=4", "group-size=48", "activation-order=true")]
    [InlineData("gptq", 4.125, "bits=4", "group-size=-1", "activation-order=true")]
    [InlineData("hqq", 4.5, "bits=4", "group-size=64")]
    [InlineData("hqq", 3.8333, "bits=3", "group-size=40")]
    [InlineData("nf4", 4.6111)]
    [InlineData("fp4", 6.0278, "double-quantization=true")]
    public void Packed_weights_are_the_dequantized_ones_to_the_last_bit(string method, double bits, params string[] settings)
    {
        const int Rows = 24, Columns = 192;
        MethodOptions options = MethodRegistry.Find(method).Options(settings.ToDictionary(setting => setting.Split('=')[0], setting => setting.Split('=')[1]));
        QuantizedMatrix result = (options with { ScalePrecision = ScalePrecision.Float16 }).Quantize(Samples.Layer(Rows, Columns, 3), Samples.Pool);
        WeightMatrix matrix = Load(result);
        var got = new float[Rows * Columns];
        fixed (float* destination = got) matrix.DequantizeRows(0, Rows, destination);
        Check.SameBits(result.Dequantized, got);
        Assert.Equal(bits, 8.0 * matrix.Bytes / got.Length, 1e-4);
    }

    private static WeightMatrix Load(QuantizedMatrix result)
    {
        if (result.Codes is TableCodes table)
        {
            PackedTable packed = TablePacking.Pack(table);
            return new TableMatrix("sample", packed.Layout, Tensors(packed.Parts));
        }
        PackedUniform uniform = UniformPacking.Pack((UniformCodes)result.Codes, result.ScalePrecision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32);
        return UniformMatrix.Load("sample", uniform.Layout, Tensors(uniform.Parts));
    }

    private static Dictionary<string, Tensor> Tensors(IEnumerable<PackedPart> parts)
    {
        Dictionary<string, Tensor> tensors = [];
        foreach (PackedPart part in parts)
        {
            var memory = new NativeBuffer(part.Bytes.Length);
            part.Bytes.CopyTo(memory.Span<byte>(0, part.Bytes.Length));
            tensors[part.Suffix] = new Tensor($"sample.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return tensors;
    }
}
