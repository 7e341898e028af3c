using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
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
    [InlineData("awq", 5.0417, "bits=4", "group-size=64")] // 24 bits a group, 16 a column of 24 rows
    [InlineData("smoothquant", 8.7917)]
    [InlineData("omniquant", 4.0417, "bits=3", "group-size=64", "iterations=5")]
    [InlineData("signround", 3.375, "bits=3", "group-size=64", "iterations=5")]
    [InlineData("llm-int8", 9.8403, "outliers=0.1")] // 19 columns of 16 bits and their numbers of 32
    [InlineData("owq", 4.8403, "outliers=0.1")]
    [InlineData("spqr", 4.9167, "outlier-threshold=1000000")] // 5 blocks of 64 codes with 3 and 3 bits, 24 grids of 32 bits, 32 a column for the order
    [InlineData("spqr", 5.8333, "outlier-threshold=1000000", "double-quantization=false")] // 24 bits a group of 16
    [InlineData("squeezellm", 5.6458, "bits=4")] // 16 levels a row, 20 weights of 32 bits, 25 starts of 32 bits
    [InlineData("gptaq", 3.375, "bits=3", "group-size=64")]
    [InlineData("nf4", 4.6111)]
    [InlineData("fp4", 6.0278, "double-quantization=true")]
    [InlineData("billm", 3.375)]
    [InlineData("arb", 0)]
    [InlineData("arb-x", 0)]
    [InlineData("arb-rc", 0)]
    [InlineData("arb-rc", 0, "block-size=50")]
    [InlineData("hbllm-row", 0)]
    [InlineData("hbllm-col", 3.375)]
    [InlineData("pt2-llm", 3.2917)]
    [InlineData("pt2-llm", 0, "block-size=50")]
    [InlineData("pt2-llm", 3.2917, "natural-order=true")]
    [InlineData("db-llm", 2.75)]
    public void Packed_weights_are_the_dequantized_ones_to_the_last_bit(string method, double bits, params string[] settings)
    {
        const int Rows = 24, Columns = 192;
        MethodOptions options = MethodRegistry.Find(method).Options(settings.ToDictionary(setting => setting.Split('=')[0], setting => setting.Split('=')[1]));
        QuantizedMatrix result = (options with { ScalePrecision = ScalePrecision.Float16 }).Quantize(Samples.Layer(Rows, Columns, 3), Samples.Pool);
        WeightMatrix matrix = Load(result);
        var got = new float[Rows * Columns];
        fixed (float* destination = got) matrix.DequantizeRows(0, Rows, destination);
        Check.SameBits(result.Dequantized, got);
        if (bits > 0) Assert.Equal(bits, 8.0 * matrix.Bytes / got.Length, 1e-4); // 0 where it depends on how many columns are salient
    }

    [Fact]
    public void Every_method_has_a_packed_form_that_gives_its_numbers()
    {
        const int Rows = 24, Columns = 256;
        foreach (QuantizationMethod method in MethodRegistry.All)
        {
            foreach (ScalePrecision precision in new[] { ScalePrecision.Float16, ScalePrecision.Float32 })
            {
                QuantizedMatrix result = (method.Options(new Dictionary<string, string>()) with { ScalePrecision = precision }).Quantize(Samples.Layer(Rows, Columns, 3), Samples.Pool);
                var got = new float[Rows * Columns];
                fixed (float* destination = got) Load(result).DequantizeRows(0, Rows, destination);
                Assert.Equal(result.Dequantized, got);
            }
        }
    }

    // How many weights or columns they treat otherwise is known afterwards only.
    private static readonly HashSet<string> s_openSizes = ["spqr", "arb", "arb-x", "arb-rc", "hbllm-row"];

    [Theory]
    [InlineData(320, ScalePrecision.Float16)] // 2.5 blocks of 128
    [InlineData(320, ScalePrecision.Float32)]
    [InlineData(160, ScalePrecision.Float16)] // 2.5 blocks of 64 codes
    public void Bits_are_estimated_before_weights_are_known(int features, ScalePrecision precision)
    {
        ElementFormat scales = precision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32;
        LinearLayer layer = Samples.Layer(features, features, 3);
        foreach (QuantizationMethod method in MethodRegistry.All)
        {
            Dictionary<string, string> settings = method.Takes("outliers") ? new() { ["outliers"] = "0.05" } : [];
            MethodOptions options = method.Options(settings) with { ScalePrecision = precision };
            double bits = PackedMatrix.Of(options.Quantize(layer, Samples.Pool).Codes, scales)!.Parts.Sum(part => 8.0 * part.Bytes.Length) / layer.Weight.Length;
            double estimate = options.EstimateBitsPerWeight(features, codedPositions: false);
            Assert.True(Math.Abs(estimate - bits) <= (s_openSizes.Contains(method.Name) ? 0.1 : 0.01) * bits, $"{method.Name}: {estimate} bits estimated, {bits} packed");
        }
    }

    [Theory]
    [InlineData("pt2-llm", ScalePrecision.Float16, 2.0)] // 1.625, two halves of 128, the number of a column
    [InlineData("pt2-llm", ScalePrecision.Float32, 3.125)] // 2, four floats of 128, the number of a column
    [InlineData("db-llm", ScalePrecision.Float16, 2.75)] // 2, three halves of 64
    [InlineData("ternary", ScalePrecision.Float16, 1.75)] // 1.625, a half of 128
    [InlineData("ternary", ScalePrecision.Float32, 1.875)]
    [InlineData("binary", ScalePrecision.Float16, 1.125)] // 1, a half of 128
    [InlineData("billm", ScalePrecision.Float16, 3.00390625)] // 2, eight halves of 128, the class of a column
    [InlineData("hbllm-col", ScalePrecision.Float16, 3.00390625)]
    public void Bits_of_codebooks_are_estimated_as_counted_by_hand(string method, ScalePrecision precision, double bits)
    {
        MethodOptions options = MethodRegistry.Find(method).Options(new Dictionary<string, string>()) with { ScalePrecision = precision };
        Assert.Equal(bits, options.EstimateBitsPerWeight(256, codedPositions: false), 1e-12);
    }

    private static WeightMatrix Load(QuantizedMatrix result)
    {
        ElementFormat scales = result.ScalePrecision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32;
        PackedMatrix packed = PackedMatrix.Of(result.Codes, scales)!;
        Dictionary<string, Tensor> tensors = [];
        foreach (PackedPart part in packed.Parts)
        {
            var memory = new NativeBuffer(part.Bytes.Length);
            part.Bytes.CopyTo(memory.Span<byte>(0, part.Bytes.Length));
            tensors[$"sample.{part.Suffix}"] = new Tensor($"sample.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        using JsonDocument declaration = JsonDocument.Parse(packed.Declaration.ToJsonString());
        return PackedTensor.Read("config.json", "sample", declaration.RootElement).Load("model", tensors.GetValueOrDefault, result.Codes.Rows, result.Codes.Columns);
    }
}
