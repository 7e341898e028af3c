using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

/// <summary>What all binary and ternary methods have in common.</summary>
public sealed class BinaryFamilyTests
{
    private static readonly string[] s_names = ["billm", "arb", "arb-x", "arb-rc", "hbllm-row", "hbllm-col", "pt2-llm", "db-llm"];

    public static TheoryData<string> Names() => [.. s_names];

    private static MethodOptions Options(string name, params (string Name, string Value)[] settings) =>
        MethodRegistry.Find(name).Options(settings.ToDictionary(setting => setting.Name, setting => setting.Value));

    [Theory, MemberData(nameof(Names))]
    public void Number_of_threads_changes_no_bit_in_half_precision(string name)
    {
        LinearLayer layer = Samples.Layer(75, 64, 9);
        MethodOptions options = Options(name, (name == "db-llm" ? "group-size" : "block-size", "24")) with { ScalePrecision = ScalePrecision.Float16 };
        using WorkerPool one = new(1), four = new(4);
        QuantizedMatrix result = options.Quantize(layer, one);
        Check.SameBits(result);
        Check.SameBits(result.Dequantized, options.Quantize(layer, four).Dequantized);
        Assert.Equal(ScalePrecision.Float16, result.ScalePrecision);
    }

    [Theory, MemberData(nameof(Names))]
    public void Rows_of_tiny_weights_stay_in_half_precision(string name)
    {
        LinearLayer layer = Samples.Layer(8, 64, 4, editWeight: weight =>
        {
            for (int c = 0; c < 64; c++) weight[c] *= 1e-5f;
        });
        QuantizedMatrix result = (Options(name) with { ScalePrecision = ScalePrecision.Float16 }).Quantize(layer, Samples.Pool);
        Assert.Equal(ScalePrecision.Float16, result.ScalePrecision);
        Check.SameBits(result);
    }

    [Theory, MemberData(nameof(Names))]
    public void Zero_and_constant_rows_dead_inputs_odd_shapes_and_one_column_are_no_special_case(string name)
    {
        LinearLayer layer = Samples.Layer(7, 21, 2,
            editInputs: inputs =>
            {
                for (int t = 0; t < 256; t++) inputs[t * 21 + 3] = 0;
            },
            editWeight: weight =>
            {
                weight.AsSpan(0, 21).Clear();
                weight.AsSpan(21, 21).Fill(0.25f);
            });
        foreach (ScalePrecision precision in new[] { ScalePrecision.Float32, ScalePrecision.Float16 })
        {
            QuantizedMatrix result = (Options(name, (name == "db-llm" ? "group-size" : "block-size", "8")) with { ScalePrecision = precision }).Quantize(layer, Samples.Pool);
            Check.SameBits(result);
            Assert.All(result.Dequantized, value => Assert.True(float.IsFinite(value)));
            if (name != "hbllm-col") Assert.All(result.Dequantized.AsSpan(0, 21).ToArray(), value => Assert.Equal(0, value)); // there rows go in pairs
        }
        QuantizedMatrix column = Options(name).Quantize(Samples.Layer(5, 1, 1), Samples.Pool);
        Assert.Equal(Samples.Layer(5, 1, 1).Weight.ToArray().Select(w => (double)w), column.Dequantized.Select(w => (double)w), (a, b) => Math.Abs(a - b) < 2e-5);
    }

    [Theory, MemberData(nameof(Names))]
    public void A_shorter_last_block_is_quantized_like_the_others(string name)
    {
        LinearLayer layer = Samples.Layer(32, 576, 5, tokens: 700);
        MethodOptions options = Options(name);
        double whole = options.Quantize(layer, Samples.Pool).OutputError!.Value;
        Assert.InRange(whole, 0, 0.45);
        QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
        double[] lost = new double[5], all = new double[5];
        for (int i = 0; i < result.Dequantized.Length; i++)
        {
            double w = layer.Weight.Span[i], error = w - result.Dequantized[i];
            lost[i % 576 / 128] += error * error;
            all[i % 576 / 128] += w * w;
        }
        Assert.InRange(lost[4] / all[4], 0, 3 * (lost[0] / all[0]) + 0.2);
    }

    [Theory]
    [InlineData("arb"), InlineData("arb-x"), InlineData("arb-rc")]
    public void Salient_columns_of_the_first_block_are_those_of_billm(string name)
    {
        LinearLayer layer = Samples.Layer(32, 128, 3);
        bool[] expected = ((CodebookCodes)Options("billm").Quantize(layer, Samples.Pool).Codes).SecondClass!;
        var codes = (CompositeCodes)Options(name).Quantize(layer, Samples.Pool).Codes;
        Assert.Contains(true, expected);
        Assert.Equal(expected, ((CodebookCodes)codes.Terms[0].Codes).SecondClass);
        Assert.Equal(Enumerable.Range(0, 128).Where(j => expected[j]), ((SelectedScaledInput)codes.Terms[1].Input).Columns);
    }

    [Theory]
    [InlineData("billm"), InlineData("arb"), InlineData("hbllm-row"), InlineData("pt2-llm")]
    public void Without_calibration_it_says_so(string name)
    {
        var layer = new LinearLayer("sample", 2, 4, new float[8]);
        Assert.Contains("--calibration", Assert.Throws<LowbitException>(() => Options(name).Quantize(layer, Samples.Pool)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_out_of_range_are_named()
    {
        LinearLayer layer = Samples.Layer(2, 4, 1);
        Assert.StartsWith("--iterations: -1", Assert.Throws<LowbitException>(() => Options("arb", ("iterations", "-1")).Quantize(layer, Samples.Pool)).Message, StringComparison.Ordinal);
        Assert.StartsWith("--block-size: 7", Assert.Throws<LowbitException>(() => Options("hbllm-row", ("block-size", "7")).Quantize(layer, Samples.Pool)).Message, StringComparison.Ordinal);
        Assert.StartsWith("--group-size: 0", Assert.Throws<LowbitException>(() => Options("db-llm", ("group-size", "0")).Quantize(layer, Samples.Pool)).Message, StringComparison.Ordinal);
    }
}
