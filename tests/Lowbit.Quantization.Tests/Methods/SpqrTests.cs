using System;
using System.Linq;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class SpqrTests
{
    [Fact]
    public void One_outlier_by_hand()
    {
        // Inputs do not depend on each other, H = 2 and 1 / U_jj² = 2. The columns' variances are 4.5, 32, 0, 4.5, 4.5, 0.5, 0.5, 4.5,
        // so the threshold is 0.1 · 2 · 51 / 8 = 1.28. With the 9 the first group has steps of 3 and loses 2 · (2 − 3)² = 2, without
        // it steps of 1 and nothing; then the 9 itself would lose 2 · (9 − 3)². Nothing else loses anything.
        float[] weight = [0, 9, 2, 3, 0, 1, 2, 3, /**/ 3, 1, 2, 0, 3, 2, 1, 0], h = new float[64];
        for (int j = 0; j < 8; j++) h[j * 9] = 2;
        using Hessian hessian = Hessian.FromMatrix("sample", h, 8);
        QuantizedMatrix result = new SpqrOptions { Bits = 2, GroupSize = 4, Damping = 0, Threshold = 0.1, DoubleQuantization = false }.Quantize(new LinearLayer("sample", 2, 8, weight, hessian), Samples.Pool);
        Assert.Equal(weight, result.Dequantized);
        var codes = (CompositeCodes)result.Codes;
        var sparse = (SparseCodes)codes.Terms[1].Codes;
        Assert.Equal([0, 1, 1], sparse.RowStarts);
        Assert.Equal([1], sparse.ColumnIndices);
        Assert.Equal([9f], sparse.Values);
        Assert.Equal([1f, 1, 1, 1], ((UniformCodes)codes.Terms[0].Codes).Scales);
        Assert.Equal(2 + 32 / 16.0, result.NominalBitsPerWeight);
    }

    [Theory]
    [InlineData(16)]
    [InlineData(10)]
    public void Without_outliers_it_is_gptq_to_the_last_bit(int groupSize)
    {
        LinearLayer layer = Samples.Layer(37, 50, 5);
        QuantizedMatrix result = new SpqrOptions { GroupSize = groupSize, Threshold = double.PositiveInfinity, DoubleQuantization = false }.Quantize(layer, Samples.Pool);
        var gptq = new GptqOptions { Bits = 3, GroupSize = groupSize, BlockSize = groupSize, ActivationOrder = true, Damping = 1 };
        Check.SameBits(gptq.Quantize(layer, Samples.Pool).Dequantized, result.Dequantized);
        Assert.IsType<UniformCodes>(result.Codes);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Lower_thresholds_keep_more_and_lose_less(int seed)
    {
        LinearLayer layer = Samples.Layer(48, 64, seed);
        (double Share, double Error)[] results = [.. new[] { 1e9, 0.3, 0.1, 0.02 }.Select(threshold =>
        {
            QuantizedMatrix result = new SpqrOptions { Bits = 3, Threshold = threshold }.Quantize(layer, Samples.Pool);
            return ((result.NominalBitsPerWeight - 3) / 32, result.OutputError!.Value);
        })];
        Assert.Equal(0, results[0].Share);
        for (int i = 1; i < results.Length; i++)
            Assert.True(results[i].Share >= results[i - 1].Share && results[i].Error <= results[i - 1].Error * 1.02, string.Join(", ", results));
        Assert.True(results[3].Share is > 0.005 and < 0.3 && results[3].Error < 0.8 * results[0].Error, string.Join(", ", results));
    }

    [Fact]
    public void Scales_of_sixteen_rows_become_codes_by_hand()
    {
        // One group a row, the range of row r is 3 · (8 + r) · 2^-6, so scales are (8 + r) / 64 with two bits: 8 to 23 sixty-fourths,
        // a lowest of 8, steps of 15 / 7 as a half, and row r has the code round(7 r / 15). Rows 16 and 17 have a grid of their own.
        float[] weight = new float[18 * 4], h = new float[16];
        for (int j = 0; j < 4; j++) h[j * 5] = 2;
        for (int r = 0; r < 18; r++) weight[r * 4 + 1] = 3 * (8 + r) / 64f;
        using Hessian hessian = Hessian.FromMatrix("sample", h, 4);
        QuantizedMatrix result = new SpqrOptions { Bits = 2, GroupSize = -1, Threshold = double.PositiveInfinity, ScalePrecision = ScalePrecision.Float16 }
            .Quantize(new LinearLayer("sample", 18, 4, weight, hessian), Samples.Pool);
        var codes = (UniformCodes)result.Codes;
        float step = (float)(Half)(15f / 64 / 7);
        for (int r = 0; r < 16; r++)
        {
            Assert.Equal((int)Math.Round(7 * r / 15.0), codes.Nested!.Codes[r]);
            Assert.Equal((float)(Half)(8 / 64f + step * codes.Nested.Codes[r]), codes.Scales[r]);
        }
        Assert.Equal([0.125f, step, 24 / 64f, (float)(Half)(1f / 64 / 7)], codes.Nested!.Grids);
        Assert.Equal([0, 7], codes.Nested.Codes[16..]);
    }

    [Theory]
    [InlineData(37, 50)]
    [InlineData(64, 64)]
    public void Nested_scales_lose_little_and_save_a_bit(int rows, int columns)
    {
        LinearLayer layer = Samples.Layer(rows, columns, 5);
        QuantizedMatrix plain = new SpqrOptions { DoubleQuantization = false, ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
        QuantizedMatrix nested = new SpqrOptions { ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
        Assert.True(nested.OutputError < 1.3 * plain.OutputError, $"{nested.OutputError} for {plain.OutputError}");
        Assert.NotNull(((UniformCodes)((CompositeCodes)nested.Codes).Terms[0].Codes).Nested);
    }

    [Fact]
    public void Outliers_are_left_out_of_the_grids_of_their_groups()
    {
        LinearLayer plain = Samples.Layer(32, 48, 2);
        LinearLayer spoiled = Samples.Layer(32, 48, 2, editWeight: weight =>
        {
            for (int r = 0; r < 32; r++) weight[r * 48 + r] = 1;
        });
        double without = new SpqrOptions().Quantize(plain, Samples.Pool).OutputError!.Value;
        QuantizedMatrix result = new SpqrOptions().Quantize(spoiled, Samples.Pool);
        double gptq = new GptqOptions { Bits = 3, GroupSize = 16, ActivationOrder = true }.Quantize(spoiled, Samples.Pool).OutputError!.Value;
        for (int r = 0; r < 32; r++) Assert.Equal(1, result.Dequantized[r * 48 + r], 0.1f);
        Assert.True(result.OutputError < 0.2 * gptq, $"{result.OutputError} for {gptq}; {without} without outliers");
    }
}
