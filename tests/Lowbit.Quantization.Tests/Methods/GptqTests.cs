using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class GptqTests
{
    [Fact]
    public void Two_columns_by_hand()
    {
        // H = [2 1; 1 2], H⁻¹ = [2 −1; −1 2] / 3: half the error of column 0 goes to column 1.
        // Grid −1 to 2 with 2 bits: levels −1, 0, 1, 2. Row 0: 0.4 → 0, then −1 + 0.2 = −0.8 → −1.
        // Row 1: 2 → 2, −1 → −1. Row 2: −0.6 → −1 leaves 0.4; 1.4 + 0.2 = 1.6 → 2 where rounding alone gives 1.
        float[] weight = [0.4f, -1, 0, 2, 2, -1, 0, 0, -0.6f, 1.4f, -1, 2];
        float[] h = [2, 1, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]; // two more columns carry the range
        using Hessian hessian = Hessian.FromMatrix("sample", h, 4);
        QuantizedMatrix result = new GptqOptions { Bits = 2, Damping = 0 }.Quantize(new LinearLayer("sample", 3, 4, weight, hessian), Samples.Pool);
        Assert.Equal([0, -1, 0, 2, 2, -1, 0, 0, -1, 2, -1, 2], result.Dequantized);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, false)]
    public void Agrees_with_the_textbook(int bits, bool symmetric)
    {
        const int Rows = 33, Columns = 24;
        LinearLayer layer = Samples.Layer(Rows, Columns, bits);
        UniformGrid[] grids = Oracle.RowGrids(layer.Weight.ToArray(), Rows, Columns, bits, symmetric);
        double[] expected = Array.ConvertAll(layer.Weight.ToArray(), w => (double)w);
        Oracle.Compensate(expected, Rows, layer.Hessian!, 0.01, (r, _, w) => grids[r].Decode(grids[r].Encode(w)));
        foreach (int block in new[] { 1, 5, 8, 128 })
        {
            QuantizedMatrix result = new GptqOptions { Bits = bits, Symmetric = symmetric, BlockSize = block }.Quantize(layer, Samples.Pool);
            Check.Agree(Array.ConvertAll(expected, w => (float)w), result.Dequantized, 0.99, 1e-6);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Loses_less_of_the_output_than_rounding(int seed)
    {
        LinearLayer layer = Samples.Layer(48, 40, seed);
        foreach (int bits in new[] { 2, 3, 4, 8 })
            foreach (bool symmetric in new[] { false, true })
            {
                double? rounded = new RtnOptions { Bits = bits, Symmetric = symmetric }.Quantize(layer, Samples.Pool).OutputError;
                double? natural = new GptqOptions { Bits = bits, Symmetric = symmetric }.Quantize(layer, Samples.Pool).OutputError;
                double? ordered = new GptqOptions { Bits = bits, Symmetric = symmetric, ActivationOrder = true }.Quantize(layer, Samples.Pool).OutputError;
                Assert.True(natural < rounded && ordered < rounded, $"{bits} bits: natural {natural}, by activation {ordered}, rounding {rounded}");
            }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(16)]
    public void Without_correlation_it_is_rounding_to_the_last_bit(int groupSize)
    {
        // also holds the vector path against the scalar one, with rows and columns that fill no strip and no group
        LinearLayer layer = Samples.UncorrelatedLayer(37, 41, 5);
        QuantizedMatrix rounded = new RtnOptions { Bits = 3, GroupSize = groupSize }.Quantize(layer, Samples.Pool);
        QuantizedMatrix compensated = new GptqOptions { Bits = 3, GroupSize = groupSize, BlockSize = 13 }.Quantize(layer, Samples.Pool);
        Check.SameBits(rounded.Dequantized, compensated.Dequantized);
        Assert.Equal(((UniformCodes)rounded.Codes).Codes, ((UniformCodes)compensated.Codes).Codes);
        Assert.Equal(((UniformCodes)rounded.Codes).Scales, ((UniformCodes)compensated.Codes).Scales);
        Assert.Equal(((UniformCodes)rounded.Codes).Zeros, ((UniformCodes)compensated.Codes).Zeros);
    }

    [Theory]
    [InlineData(-1, false, ScalePrecision.Float32)]
    [InlineData(-1, true, ScalePrecision.Float16)]
    [InlineData(24, false, ScalePrecision.Float16)]
    [InlineData(24, true, ScalePrecision.Float32)]
    [InlineData(50, true, ScalePrecision.Float16)]
    public void Codes_give_the_dequantized_weight_to_the_last_bit(int groupSize, bool activationOrder, ScalePrecision precision)
    {
        LinearLayer layer = Samples.Layer(35, 70, 2);
        var options = new GptqOptions { Bits = 4, GroupSize = groupSize, ActivationOrder = activationOrder, BlockSize = 32, ScalePrecision = precision };
        QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
        Check.SameBits(result);
        Assert.Equal(precision, result.ScalePrecision);
        if (precision == ScalePrecision.Float16) Assert.All(((UniformCodes)result.Codes).Scales, scale => Assert.Equal((float)(Half)scale, scale));
    }

    [Fact]
    public void Grids_of_groups_see_the_blocks_before_but_not_the_columns_before()
    {
        // With blocks of 8 and groups of 4, the second group of a block is fitted to weights that its first group has not touched.
        LinearLayer layer = Samples.Layer(16, 8, 4);
        var codes = (UniformCodes)new GptqOptions { GroupSize = 4, BlockSize = 8 }.Quantize(layer, Samples.Pool).Codes;
        var rounded = (UniformCodes)new RtnOptions { GroupSize = 4 }.Quantize(layer, Samples.Pool).Codes;
        Assert.Equal(rounded.Scales, codes.Scales);
        var smallBlocks = (UniformCodes)new GptqOptions { GroupSize = 4, BlockSize = 4 }.Quantize(layer, Samples.Pool).Codes;
        for (int r = 0; r < 16; r++)
        {
            Assert.Equal(rounded.Scales[2 * r], smallBlocks.Scales[2 * r]);
            Assert.NotEqual(rounded.Scales[2 * r + 1], smallBlocks.Scales[2 * r + 1]);
        }
    }

    [Fact]
    public void Activation_order_does_not_care_how_the_columns_lie()
    {
        const int Rows = 20, Columns = 36;
        float[] inputs = Samples.Inputs(200, Columns, 6), weight = Samples.Normal(Rows * Columns, 6);
        int[] order = [.. Enumerable.Range(0, Columns).Select(j => (j * 25 + 7) % Columns)];
        var permutedInputs = new float[inputs.Length];
        var permutedWeight = new float[weight.Length];
        for (int i = 0; i < inputs.Length; i++) permutedInputs[i] = inputs[i / Columns * Columns + order[i % Columns]];
        for (int i = 0; i < weight.Length; i++) permutedWeight[i] = weight[i / Columns * Columns + order[i % Columns]];

        var options = new GptqOptions { Bits = 3, GroupSize = 10, ActivationOrder = true };
        float[] plain = options.Quantize(new LinearLayer("sample", Rows, Columns, weight, Samples.HessianOf(inputs, Columns)), Samples.Pool).Dequantized;
        float[] permuted = options.Quantize(new LinearLayer("sample", Rows, Columns, permutedWeight, Samples.HessianOf(permutedInputs, Columns)), Samples.Pool).Dequantized;
        var expected = new float[plain.Length];
        for (int i = 0; i < plain.Length; i++) expected[i] = plain[i / Columns * Columns + order[i % Columns]];
        Check.Agree(expected, permuted, 0.98, 1e-5); // the mean of the diagonal is summed in another order
    }

    [Fact]
    public void Rows_do_not_know_of_each_other()
    {
        const int Rows = 45, Columns = 30;
        LinearLayer layer = Samples.Layer(Rows, Columns, 11);
        float[] reversed = [.. layer.Weight.ToArray().Chunk(Columns).Reverse().SelectMany(row => row)];
        var options = new GptqOptions { Bits = 3, GroupSize = 8, BlockSize = 16 };
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
            return new GptqOptions { Bits = 3, GroupSize = 32, ActivationOrder = true, BlockSize = 48 }
                .Quantize(new LinearLayer("sample", 130, 150, weight, hessian), pool).Dequantized;
        })];
        Check.SameBits(results[0], results[1]);
        Check.SameBits(results[0], results[2]);
    }

    [Fact]
    public void Dead_inputs_get_zeros_and_disturb_nothing()
    {
        const int Columns = 20;
        void Kill(float[] inputs)
        {
            for (int t = 0; t < inputs.Length / Columns; t++) inputs[t * Columns + 3] = inputs[t * Columns + 12] = 0;
        }
        LinearLayer layer = Samples.Layer(10, Columns, 7, editInputs: Kill, editWeight: weight => weight[3] = 1);
        foreach (GptqOptions options in new GptqOptions[] { new(), new() { GroupSize = 4 }, new() { ActivationOrder = true } })
        {
            QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
            for (int r = 0; r < 10; r++) Assert.Equal((0f, 0f), (result.Dequantized[r * Columns + 3], result.Dequantized[r * Columns + 12]));
            Assert.InRange(result.OutputError!.Value, 0, 0.2);
            Check.SameBits(result);
            // A dead weight counts in the range of its whole row, as in the repository, but not in that of a group.
            float scale = ((UniformCodes)result.Codes).Scales[0];
            Assert.True(options.GroupSize < 0 ? scale > 1 / 15f : scale < 0.1f / 15, $"scale {scale}");
        }
    }

    [Fact]
    public void Fewer_tokens_than_columns_are_enough_with_damping()
    {
        LinearLayer layer = Samples.Layer(12, 50, 3, tokens: 20);
        Assert.True(new GptqOptions().Quantize(layer, Samples.Pool).OutputError < new RtnOptions().Quantize(layer, Samples.Pool).OutputError);
    }

    [Fact]
    public void Singular_hessian_without_damping_asks_for_it()
    {
        using Hessian hessian = Hessian.FromMatrix("sample", [1, 1, 1, 1], 2);
        var layer = new LinearLayer("sample", 1, 2, new float[] { 1, 2 }, hessian);
        LowbitException e = Assert.Throws<LowbitException>(() => new GptqOptions { Damping = 0 }.Quantize(layer, Samples.Pool));
        Assert.Contains("--damping", e.Message, StringComparison.Ordinal);
        Assert.All(new GptqOptions().Quantize(layer, Samples.Pool).Dequantized, w => Assert.True(float.IsFinite(w)));
    }

    [Fact]
    public void One_column_zero_rows_and_constant_rows_are_no_special_case()
    {
        QuantizedMatrix column = new GptqOptions().Quantize(Samples.Layer(5, 1, 1), Samples.Pool);
        Assert.Equal(0, column.OutputError!.Value, 1e-6);

        LinearLayer layer = Samples.Layer(3, 16, 2, editWeight: weight =>
        {
            weight.AsSpan(0, 16).Clear();
            weight.AsSpan(16, 16).Fill(0.5f);
        });
        foreach (bool symmetric in new[] { false, true })
        {
            float[] dequantized = new GptqOptions { Symmetric = symmetric, Bits = 8 }.Quantize(layer, Samples.Pool).Dequantized;
            Assert.All(dequantized[..16], w => Assert.Equal(0, w));
            Assert.All(dequantized[16..32], w => Assert.Equal(0.5f, w, 0.01f));
        }
    }

    [Fact]
    public void Scale_that_a_half_cannot_hold_makes_the_matrix_float32()
    {
        LinearLayer layer = Samples.Layer(4, 16, 2, editWeight: weight => weight[20] = 1e7f);
        QuantizedMatrix result = new GptqOptions { GroupSize = 8, ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
        Assert.Equal(ScalePrecision.Float32, result.ScalePrecision);
        Check.SameBits(result);
    }

    [Fact]
    public void Needs_a_hessian_and_stops_when_asked()
    {
        var bare = new LinearLayer("blocks.0.q", 1, 2, new float[] { 1, 2 });
        LowbitException e = Assert.Throws<LowbitException>(() => new GptqOptions().Quantize(bare, Samples.Pool));
        Assert.StartsWith("blocks.0.q: method gptq needs", e.Message, StringComparison.Ordinal);
        using var cancellation = new CancellationTokenSource();
        LinearLayer layer = Samples.Layer(4, 8, 1);
        layer.Hessian!.Factor(Samples.Pool, 0.01, false, CancellationToken.None);
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => new GptqOptions().Quantize(layer, Samples.Pool, cancellation.Token));
    }
}
