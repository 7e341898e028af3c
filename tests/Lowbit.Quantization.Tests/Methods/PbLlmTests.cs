using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class PbLlmTests
{
    [Fact]
    public void Four_by_six_by_hand()
    {
        // 24 weights, share 1/4: floor(24 · 0.75) + 1 = 19 are binary, five salient: 8, −9, 7, 15, −10.
        float[] weight =
        [
            1, -3, 8, 2, 4, -4,          // low 1 −3 2 4 −4: m = 0, α = 14/5
            -9, 1, 1, 1, 1, 1,           // low all 1: m = 1, α = 0
            7, 15, -1, 1, -1, 1,         // low ±1: m = 0, α = 1
            -10, 2, -2, 5, 5, 5,         // low 2 −2 5 5 5: m = 3, α = (1 + 5 + 2 + 2 + 2) / 5 = 12/5
        ];
        QuantizedMatrix result = new PbLlmOptions { Compensate = false, SalientShare = 0.25, SalientBits = 4 }
            .Quantize(new LinearLayer("sample", 4, 6, weight), Samples.Pool);
        // Salient grids, 4 bits over the whole row: row 0 −4 to 8, s = 0.8, z = 5, 8 → code 15; row 1 −9 to 1, s = 2/3, z = round(13.5) = 14,
        // −9 → round(−13.5) + 14 = 0; row 2 −1 to 15, s = 16/15, z = 1, 7 → 7, 15 → 14; row 3 −10 to 5, s = 1, z = 10, −10 → 0.
        float[] expected =
        [
            2.8f, -2.8f, 0.8f * 10, 2.8f, 2.8f, -2.8f,
            2 / 3f * -14, 1, 1, 1, 1, 1,
            16 / 15f * 7, 16 / 15f * 14, -1, 1, -1, 1,
            -10, 0.6f, 0.6f, 5.4f, 5.4f, 5.4f,
        ];
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], result.Dequantized[i], 2e-6f);
        var codes = (PartiallyBinarizedCodes)result.Codes;
        Assert.Equal([2, 6, 12, 13, 18], Enumerable.Range(0, 24).Where(i => codes.Salient[i]));
        Assert.Equal([15, 0, 7 + 1, 14 + 1, 0], Enumerable.Range(0, 24).Where(i => codes.Salient[i]).Select(i => (int)codes.Codes[i]));
        Assert.Equal(1 * 19 / 24.0 + 4 * 5 / 24.0 + 1, result.NominalBitsPerWeight, 1e-12);
    }

    [Theory]
    [InlineData(BinaryKind.Xnor, SaliencyMetric.Magnitude, -1)]
    [InlineData(BinaryKind.Xnor, SaliencyMetric.Hessian, 8)]
    [InlineData(BinaryKind.Sign, SaliencyMetric.Hessian, -1)]
    [InlineData(BinaryKind.TwoBit, SaliencyMetric.Magnitude, 8)]
    [InlineData(BinaryKind.Prune, SaliencyMetric.Hessian, -1)]
    public void Agrees_with_the_textbook(BinaryKind kind, SaliencyMetric saliency, int groupSize)
    {
        const int Rows = 33, Columns = 20;
        LinearLayer layer = Samples.Layer(Rows, Columns, 3);
        var options = new PbLlmOptions { SalientShare = 0.2, Binary = kind, Saliency = saliency, GroupSize = groupSize, BlockSize = 7 };
        QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
        var codes = (PartiallyBinarizedCodes)result.Codes;
        float[] weight = layer.Weight.ToArray();
        UniformGrid[] high = Oracle.RowGrids(weight, Rows, Columns, 8, symmetric: false);
        int size = groupSize < 0 ? Columns : groupSize;
        double[] expected = Array.ConvertAll(weight, w => (double)w);
        Oracle.Compensate(expected, Rows, layer.Hessian!, 0.01, (r, j, w) =>
        {
            if (codes.Salient[r * Columns + j]) return high[r].Decode(high[r].Encode(w));
            int first = r * Columns + j / size * size, width = Math.Min(size, Columns - j / size * size);
            BinaryGrid low = BinaryGrid.Fit(kind, weight.AsSpan(first, width), codes.Salient.AsSpan(first, width), ScaleRule.Paper, new ScaleRounding(ScalePrecision.Float32));
            return low.Decode(low.Encode(w));
        });
        Check.Agree(Array.ConvertAll(expected, w => (float)w), result.Dequantized, 0.99, 1e-6);
        Check.SameBits(result);
    }

    [Theory]
    [InlineData(BinaryKind.Xnor, ScaleRule.Paper, -1)]
    [InlineData(BinaryKind.Xnor, ScaleRule.Repository, 16)]
    [InlineData(BinaryKind.Sign, ScaleRule.Paper, 16)]
    [InlineData(BinaryKind.TwoBit, ScaleRule.Paper, -1)]
    [InlineData(BinaryKind.Prune, ScaleRule.Paper, 16)]
    public void Without_correlation_compensation_changes_no_bit(BinaryKind kind, ScaleRule rule, int groupSize)
    {
        LinearLayer layer = Samples.UncorrelatedLayer(37, 41, 5);
        var options = new PbLlmOptions { Binary = kind, ScaleRule = rule, GroupSize = groupSize, BlockSize = 13 };
        QuantizedMatrix compensated = options.Quantize(layer, Samples.Pool), rounded = (options with { Compensate = false }).Quantize(layer, Samples.Pool);
        Check.SameBits(rounded.Dequantized, compensated.Dequantized);
        Assert.Equal(((PartiallyBinarizedCodes)rounded.Codes).Codes, ((PartiallyBinarizedCodes)compensated.Codes).Codes);
    }

    [Fact]
    public void With_all_weights_salient_it_is_gptq()
    {
        LinearLayer layer = Samples.Layer(40, 50, 9);
        QuantizedMatrix all = new PbLlmOptions { SalientShare = 1, SalientBits = 4 }.Quantize(layer, Samples.Pool);
        Check.SameBits(new GptqOptions { Bits = 4 }.Quantize(layer, Samples.Pool).Dequantized, all.Dequantized);
        Assert.Equal(5, all.NominalBitsPerWeight);
    }

    [Fact]
    public void With_none_salient_every_row_has_two_levels()
    {
        LinearLayer layer = Samples.Layer(40, 50, 9);
        QuantizedMatrix none = new PbLlmOptions { SalientShare = 0 }.Quantize(layer, Samples.Pool);
        Assert.All(none.Dequantized.Chunk(50), row => Assert.Equal(2, row.Distinct().Count()));
        Assert.Equal(2, none.NominalBitsPerWeight);
    }

    [Fact]
    public void Pruning_leaves_zeros_and_the_salient_weights()
    {
        LinearLayer layer = Samples.Layer(40, 50, 9);
        QuantizedMatrix pruned = new PbLlmOptions { Binary = BinaryKind.Prune, SalientShare = 0.5, Saliency = SaliencyMetric.Hessian }.Quantize(layer, Samples.Pool);
        var codes = (PartiallyBinarizedCodes)pruned.Codes;
        for (int i = 0; i < 2000; i++)
            if (!codes.Salient[i]) Assert.Equal(0, pruned.Dequantized[i]);
        QuantizedMatrix uncompensated = new PbLlmOptions { Binary = BinaryKind.Prune, SalientShare = 0.5, Saliency = SaliencyMetric.Hessian, Compensate = false }.Quantize(layer, Samples.Pool);
        Assert.True(pruned.OutputError < uncompensated.OutputError);
    }

    [Theory]
    [InlineData(SaliencyMetric.Magnitude)]
    [InlineData(SaliencyMetric.Hessian)]
    public void Error_falls_with_the_share_and_with_compensation(SaliencyMetric saliency)
    {
        LinearLayer layer = Samples.Layer(64, 60, 13);
        double previous = double.PositiveInfinity;
        foreach (double share in new[] { 0, 0.1, 0.3, 0.6, 0.9 })
        {
            var options = new PbLlmOptions { SalientShare = share, Saliency = saliency };
            double error = options.Quantize(layer, Samples.Pool).OutputError!.Value;
            Assert.True(error < previous, $"{share} salient: {error}, fewer: {previous}");
            Assert.True(error < (options with { Compensate = false }).Quantize(layer, Samples.Pool).OutputError);
            previous = error;
        }
    }

    [Theory]
    [InlineData(BinaryKind.Xnor)]
    [InlineData(BinaryKind.Sign)]
    [InlineData(BinaryKind.TwoBit)]
    public void Half_precision_scales_are_what_the_codes_were_chosen_with(BinaryKind kind)
    {
        LinearLayer layer = Samples.Layer(35, 70, 2);
        foreach (bool compensate in new[] { false, true })
        {
            QuantizedMatrix result = new PbLlmOptions { Binary = kind, GroupSize = 32, Compensate = compensate, ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
            var codes = (PartiallyBinarizedCodes)result.Codes;
            Assert.Equal(ScalePrecision.Float16, result.ScalePrecision);
            Assert.All(codes.LowScale.Concat(codes.LowMean).Concat(codes.HighScale), value => Assert.Equal((float)(Half)value, value));
            Check.SameBits(result);
        }
    }

    [Fact]
    public void Scale_that_a_half_cannot_hold_makes_the_matrix_float32()
    {
        LinearLayer layer = Samples.Layer(4, 16, 2, editWeight: weight => weight[20] = 1e8f);
        QuantizedMatrix result = new PbLlmOptions { ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
        Assert.Equal(ScalePrecision.Float32, result.ScalePrecision);
        Check.SameBits(result);
    }

    [Fact]
    public void Rows_do_not_know_of_each_other_but_for_the_threshold()
    {
        const int Rows = 45, Columns = 30;
        LinearLayer layer = Samples.Layer(Rows, Columns, 11);
        float[] reversed = [.. layer.Weight.ToArray().Chunk(Columns).Reverse().SelectMany(row => row)];
        var options = new PbLlmOptions { Saliency = SaliencyMetric.Hessian, BlockSize = 16 };
        float[] expected = [.. options.Quantize(layer, Samples.Pool).Dequantized.Chunk(Columns).Reverse().SelectMany(row => row)];
        Check.SameBits(expected, options.Quantize(new LinearLayer("sample", Rows, Columns, reversed, layer.Hessian), Samples.Pool).Dequantized);
    }

    [Fact]
    public void Number_of_threads_changes_no_bit()
    {
        float[] inputs = Samples.Inputs(200, 150, 3), weight = Samples.Normal(130 * 150, 3);
        float[][] results = [.. new[] { 1, 2, 5 }.Select(threads =>
        {
            using var pool = new WorkerPool(threads);
            using Hessian hessian = Hessian.FromInputs(pool, "sample", inputs, 150, 64);
            return new PbLlmOptions { Saliency = SaliencyMetric.Hessian, GroupSize = 64, BlockSize = 48 }
                .Quantize(new LinearLayer("sample", 130, 150, weight, hessian), pool).Dequantized;
        })];
        Check.SameBits(results[0], results[1]);
        Check.SameBits(results[0], results[2]);
    }

    [Fact]
    public void Dead_inputs_are_never_salient_and_disturb_nothing()
    {
        const int Columns = 20;
        void Kill(float[] inputs)
        {
            for (int t = 0; t < inputs.Length / Columns; t++) inputs[t * Columns + 3] = 0;
        }
        void Enlarge(float[] weight) => weight[3] = 1;
        LinearLayer layer = Samples.Layer(10, Columns, 7, editInputs: Kill, editWeight: Enlarge);
        foreach (SaliencyMetric saliency in Enum.GetValues<SaliencyMetric>())
        {
            var codes = (PartiallyBinarizedCodes)new PbLlmOptions { Saliency = saliency, SalientShare = 0.5 }.Quantize(layer, Samples.Pool).Codes;
            for (int r = 0; r < 10; r++) Assert.False(codes.Salient[r * Columns + 3]);
            Assert.Equal(1, codes.HighScale[0] * 255, 0.1f); // its weight still counts in the range, as in the repository
        }
    }

    [Fact]
    public void Zero_and_constant_rows_and_one_column_are_no_special_case()
    {
        LinearLayer layer = Samples.Layer(3, 16, 2, editWeight: weight =>
        {
            weight.AsSpan(0, 16).Clear();
            weight.AsSpan(16, 16).Fill(0.5f);
        });
        foreach (BinaryKind kind in Enum.GetValues<BinaryKind>())
            foreach (bool compensate in new[] { false, true })
            {
                QuantizedMatrix result = new PbLlmOptions { Binary = kind, Compensate = compensate }.Quantize(layer, Samples.Pool);
                Assert.All(result.Dequantized, w => Assert.True(float.IsFinite(w)));
                Assert.All(result.Dequantized[..16], w => Assert.Equal(0, w));
                Check.SameBits(result);
                Check.SameBits(new PbLlmOptions { Binary = kind, Compensate = compensate }.Quantize(Samples.Layer(5, 1, 1), Samples.Pool));
            }
    }

    [Fact]
    public void Only_what_needs_a_hessian_asks_for_one()
    {
        var bare = new LinearLayer("sample", 2, 3, Samples.Normal(6, 1));
        Assert.Null(new PbLlmOptions { Compensate = false }.Quantize(bare, Samples.Pool).OutputError);
        Assert.Throws<LowbitException>(() => new PbLlmOptions { Compensate = false, Saliency = SaliencyMetric.Hessian }.Quantize(bare, Samples.Pool));
        Assert.Throws<LowbitException>(() => new PbLlmOptions().Quantize(bare, Samples.Pool));
    }

    [Fact]
    public void Cancellation_stops_it()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => new PbLlmOptions().Quantize(Samples.Layer(4, 8, 1), Samples.Pool, cancellation.Token));
    }
}
