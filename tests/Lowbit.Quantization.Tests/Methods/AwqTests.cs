using System;
using System.Linq;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class AwqTests
{
    [Fact]
    public void Two_columns_by_hand()
    {
        // mean |x| = 16 and 1, α = ½: s = (4, 1) / √(4 · 1) = (2, ½). W · s = (0.6, 1.5) on the grid 0, 0.5, 1, 1.5 is (0.5, 1.5),
        // and Ŵ = (0.25, 3). Rounding alone has the grid 0, 1, 2, 3 and loses the first weight, which matters.
        using Hessian hessian = Samples.HessianOf([16, 1, -16, 1], 2);
        var layer = new LinearLayer("sample", 1, 2, new float[] { 0.3f, 3 }, hessian);
        QuantizedMatrix result = new AwqOptions { Bits = 2, Exponent = 0.5, Clip = false }.Quantize(layer, Samples.Pool);
        Assert.Equal([0.25f, 3], result.Dequantized);
        CompositeTerm term = Assert.Single(((CompositeCodes)result.Codes).Terms);
        Assert.Equal([0.5f, 2], ((ScaledInput)term.Input).Factors);
        Assert.Equal([1, 3], ((UniformCodes)term.Codes).Codes);
        Assert.Equal([0, 3f], new RtnOptions { Bits = 2 }.Quantize(layer, Samples.Pool).Dequantized);
    }

    [Fact]
    public void Clipping_by_hand()
    {
        // One input in two weights: errors are those of the weights. Whole range 0 to 3: 0.5, 0.5, 0.5, 0.5 → 0 (halves to even) costs 4 · 0.25 = 1.
        // c = 0.55 · 3 = 1.65, the last candidate, has steps of 0.55 and costs 4 · 0.05² + 1.35²; the best one is found by trying all.
        float[] weight = [0.5f, 0.5f, 0.5f, 0.5f, 3], h = new float[25];
        for (int j = 0; j < 5; j++) h[j * 6] = j < 4 ? 10 : 0.1f;
        using Hessian hessian = Hessian.FromMatrix("sample", h, 5);
        var layer = new LinearLayer("sample", 1, 5, weight, hessian);
        double best = double.PositiveInfinity;
        for (int i = 0; i < 10; i++)
        {
            float step = 3 * (1 - i / 20f) / 3, error = 0.5f - step * MathF.Round(0.5f / step), last = 3 - 3 * step;
            best = Math.Min(best, 4 * 10 * error * error + 0.1 * last * last);
        }
        QuantizedMatrix result = new AwqOptions { Bits = 2, Exponent = 0, GroupSize = -1 }.Quantize(layer, Samples.Pool);
        double cost = Enumerable.Range(0, 5).Sum(j => h[j * 6] * Math.Pow(weight[j] - result.Dequantized[j], 2));
        Assert.Equal(best, cost, 1e-4);
    }

    [Theory]
    [InlineData(-1, false)]
    [InlineData(16, true)]
    public void Exponent_zero_without_clipping_is_rounding_to_the_last_bit(int groupSize, bool symmetric)
    {
        LinearLayer layer = Samples.Layer(30, 41, 5);
        QuantizedMatrix rounded = new RtnOptions { Bits = 3, GroupSize = groupSize, Symmetric = symmetric }.Quantize(layer, Samples.Pool);
        QuantizedMatrix result = new AwqOptions { Bits = 3, GroupSize = groupSize, Symmetric = symmetric, Exponent = 0, Clip = false }.Quantize(layer, Samples.Pool);
        Check.SameBits(rounded.Dequantized, result.Dequantized);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Searched_scales_are_never_worse_than_any_exponent_and_clipping_helps(int seed)
    {
        LinearLayer layer = Samples.Layer(48, 40, seed);
        var options = new AwqOptions { Bits = 3, GroupSize = 20, Clip = false };
        double searched = options.Quantize(layer, Samples.Pool).OutputError!.Value;
        for (int i = 0; i < 20; i++)
            Assert.InRange(searched, 0, 1.000001 * (options with { Exponent = i / 20.0 }).Quantize(layer, Samples.Pool).OutputError!.Value);
        Assert.True(searched < 0.9 * new RtnOptions { Bits = 3, GroupSize = 20 }.Quantize(layer, Samples.Pool).OutputError);
        Assert.True((options with { Clip = true }).Quantize(layer, Samples.Pool).OutputError < 1.1 * searched);
    }

    [Fact]
    public void Inputs_of_one_size_need_no_scales()
    {
        LinearLayer layer = Samples.UncorrelatedLayer(20, 30, 3);
        var same = new float[900];
        for (int j = 0; j < 30; j++) same[j * 31] = 2;
        using Hessian hessian = Hessian.FromMatrix("sample", same, 30);
        QuantizedMatrix result = new AwqOptions().Quantize(new LinearLayer("sample", 20, 30, layer.Weight, hessian), Samples.Pool);
        Assert.All(((ScaledInput)((CompositeCodes)result.Codes).Terms[0].Input).Factors, factor => Assert.Equal(1, factor));
    }
}
