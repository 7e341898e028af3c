using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

/// <summary>What holds for every method that learns from its inputs.</summary>
public sealed class CalibratedMethodsTests
{
    public static TheoryData<string> Settings =>
    [
        "awq bits=3 group-size=16", "awq bits=4 group-size=-1 symmetric=true", "smoothquant", "smoothquant bits=4 group-size=24",
        "omniquant bits=3 group-size=16 iterations=20", "omniquant bits=2 group-size=-1 iterations=20 no-scales=true",
        "signround bits=3 group-size=16 iterations=20", "signround bits=2 group-size=-1 iterations=20 symmetric=true",
        "llm-int8 outlier-threshold=3", "llm-int8 outliers=0.2 bits=4 group-size=16", "owq bits=3 outliers=0.1", "owq bits=4 group-size=16 outliers=0.1 activation-order=true",
        "spqr", "spqr bits=4 group-size=10 outlier-threshold=0.01 damping=0.01", "squeezellm bits=3", "squeezellm bits=2 outliers=0.05",
        "gptq bits=3 repair-rank=4", "rtn bits=2 group-size=16 repair=svd repair-rank=5", "awq bits=2 group-size=16 repair=activation repair-rank=3",
    ];

    private static MethodOptions Options(string text)
    {
        string[] words = text.Split(' ');
        return MethodRegistry.Find(words[0]).Options(words[1..].ToDictionary(word => word.Split('=')[0], word => word.Split('=')[1]));
    }

    private static void Check_finite(QuantizedMatrix result)
    {
        Assert.All(result.Dequantized, w => Assert.True(float.IsFinite(w)));
        Assert.True(double.IsFinite(result.OutputError!.Value));
        Check.SameBits(result);
    }

    [Theory, MemberData(nameof(Settings))]
    public void Number_of_threads_changes_no_bit(string settings)
    {
        const int Rows = 70, Columns = 50;
        float[] inputs = Samples.Inputs(150, Columns, 3), weight = Samples.Normal(Rows * Columns, 3);
        float[][] results = [.. new[] { 1, 2, 5 }.Select(threads =>
        {
            using var pool = new WorkerPool(threads);
            using Hessian hessian = Hessian.FromInputs(pool, "sample", inputs, Columns, 64);
            return Options(settings).Quantize(new LinearLayer("sample", Rows, Columns, weight, hessian), pool).Dequantized;
        })];
        Check.SameBits(results[0], results[1]);
        Check.SameBits(results[0], results[2]);
    }

    [Theory, MemberData(nameof(Settings))]
    public void Codes_give_the_dequantized_weight_to_the_last_bit_in_both_precisions(string settings)
    {
        LinearLayer layer = Samples.Layer(35, 70, 2);
        foreach (ScalePrecision precision in new[] { ScalePrecision.Float32, ScalePrecision.Float16 })
        {
            QuantizedMatrix result = (Options(settings) with { ScalePrecision = precision }).Quantize(layer, Samples.Pool);
            Check_finite(result);
            Assert.Equal(precision, result.ScalePrecision);
            Assert.InRange(result.OutputError!.Value, 0, 0.5);
        }
    }

    [Theory, MemberData(nameof(Settings))]
    public void Dead_inputs_zero_rows_and_constant_rows_disturb_nothing(string settings)
    {
        const int Columns = 40;
        LinearLayer layer = Samples.Layer(6, Columns, 7,
            editInputs: inputs =>
            {
                for (int t = 0; t < inputs.Length / Columns; t++) inputs[t * Columns + 3] = inputs[t * Columns + 12] = 0;
            },
            editWeight: weight =>
            {
                weight.AsSpan(0, Columns).Clear();
                weight.AsSpan(Columns, Columns).Fill(0.5f);
                weight.AsSpan(2 * Columns, Columns).Fill(-0.5f);
            });
        foreach (ScalePrecision precision in new[] { ScalePrecision.Float32, ScalePrecision.Float16 })
        {
            QuantizedMatrix result = (Options(settings) with { ScalePrecision = precision }).Quantize(layer, Samples.Pool);
            Check_finite(result);
            Assert.InRange(result.OutputError!.Value, 0, 0.5);
            Assert.All(result.Dequantized[..Columns], w => Assert.InRange(w, -0.01f, 0.01f));
        }
    }

    [Theory, MemberData(nameof(Settings))]
    public void One_row_one_column_and_a_hessian_of_zeros_are_no_special_case(string settings)
    {
        Check_finite(Options(settings).Quantize(Samples.Layer(1, 20, 1), Samples.Pool));
        Check_finite(Options(settings).Quantize(Samples.Layer(5, 1, 1), Samples.Pool));
        LinearLayer dead = Samples.Layer(3, 8, 1, editInputs: inputs => inputs.AsSpan().Clear());
        Check_finite(Options(settings).Quantize(dead, Samples.Pool));
    }

    [Theory, MemberData(nameof(Settings))]
    public void Without_inputs_the_hessian_is_enough_but_for_a_threshold_of_inputs(string settings)
    {
        float[] h = Samples.SymmetricPositive(24, 4);
        using Hessian hessian = Hessian.FromMatrix("sample", h, 24);
        var layer = new LinearLayer("sample", 9, 24, Samples.Normal(9 * 24, 5, 0.02f), hessian);
        if (settings.Contains("llm-int8 outlier-threshold", StringComparison.Ordinal))
        {
            LowbitException e = Assert.Throws<LowbitException>(() => Options(settings).Quantize(layer, Samples.Pool));
            Assert.Contains("--outliers", e.Message, StringComparison.Ordinal);
            return;
        }
        Assert.InRange(Options(settings).Quantize(layer, Samples.Pool).OutputError!.Value, 0, 0.5);
    }

    [Theory, MemberData(nameof(Settings))]
    public void Needs_what_it_says_and_stops_when_asked(string settings)
    {
        MethodOptions options = Options(settings);
        LinearLayer layer = Samples.Layer(4, 12, 1);
        if (options.NeedsHessian)
        {
            LowbitException e = Assert.Throws<LowbitException>(() => options.Quantize(new LinearLayer("blocks.0.q", 4, 12, layer.Weight), Samples.Pool));
            Assert.StartsWith("blocks.0.q: method", e.Message, StringComparison.Ordinal);
        }
        else Assert.Null(options.Quantize(new LinearLayer("blocks.0.q", 4, 12, layer.Weight), Samples.Pool).OutputError);
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        if (settings.StartsWith("smoothquant", StringComparison.Ordinal) || settings.StartsWith("llm-int8", StringComparison.Ordinal)) return; // over in one pass
        Assert.Throws<OperationCanceledException>(() => options.Quantize(layer, Samples.Pool, cancellation.Token));
    }

    public static IEnumerable<object[]> OutOfRange() =>
    [
        [new AwqOptions { Exponent = 1.5 }, "--exponent: 1.5"],
        [new AwqOptions { Bits = 1 }, "--bits: 1"],
        [new SmoothQuantOptions { Exponent = double.NaN }, "--exponent: NaN"],
        [new OmniQuantOptions { Iterations = -1 }, "--iterations: -1"],
        [new SignRoundOptions { GroupSize = 0 }, "--group-size: 0"],
        [new LlmInt8Options { Threshold = -1 }, "--outlier-threshold: -1"],
        [new LlmInt8Options { Share = 2 }, "--outliers: 2"],
        [new OwqOptions { Share = -0.5 }, "--outliers: -0.5"],
        [new SpqrOptions { Threshold = 0 }, "--outlier-threshold: 0"],
        [new SqueezeLlmOptions { Bits = 5 }, "--bits: 5"],
        [new LowRankRepairOptions { Base = new RtnOptions(), Rank = 0 }, "--repair-rank: 0"],
        [new LowRankRepairOptions { Base = new RtnOptions { Bits = 9 } }, "--bits: 9"],
    ];

    [Theory, MemberData(nameof(OutOfRange))]
    public void Settings_out_of_range_are_named(MethodOptions options, string message)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => options.Quantize(Samples.Layer(2, 4, 1), Samples.Pool));
        Assert.StartsWith(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Weights_beyond_half_precision_are_refused_where_they_would_be_kept()
    {
        LinearLayer layer = Samples.Layer(4, 10, 2, editWeight: weight => weight[3] = 1e6f);
        foreach (string settings in new[] { "llm-int8 outliers=1", "owq outliers=1" })
        {
            LowbitException e = Assert.Throws<LowbitException>(() => Options(settings).Quantize(layer, Samples.Pool));
            Assert.Contains("65504", e.Message, StringComparison.Ordinal);
        }
    }
}
