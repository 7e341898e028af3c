using System;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class SmoothQuantTests
{
    [Fact]
    public void Two_columns_by_hand()
    {
        // max |x| = (16, 1), max |w| = (1, 1), α = ½: s = (4, 1), divided by √(4 · 1): (2, ½). W · s = (2, ½), (−1, −½);
        // with 2 bits steps are 4/3 and 2/3 with codes −2 … 1: (4/3, 0) and (−4/3, −2/3).
        using Hessian hessian = Samples.HessianOf([16, 1, 3, -0.5f], 2);
        var layer = new LinearLayer("sample", 2, 2, new float[] { 1, 1, -0.5f, -1 }, hessian);
        QuantizedMatrix result = new SmoothQuantOptions { Bits = 2 }.Quantize(layer, Samples.Pool);
        Assert.Equal([0.5f, 2], ((ScaledInput)((CompositeCodes)result.Codes).Terms[0].Input).Factors);
        float[] expected = [2 / 3f, 0, -2 / 3f, -4 / 3f];
        for (int i = 0; i < 4; i++) Assert.Equal(expected[i], result.Dequantized[i], 1e-6f);
    }

    [Fact]
    public void Both_sides_get_the_same_largest_values_at_one_half()
    {
        LinearLayer layer = Samples.Layer(40, 24, 3);
        double[] scales = SmoothQuant.Scales(layer, layer.Hessian!, 0.5);
        for (int j = 0; j < 24; j++)
        {
            double largest = 0;
            for (int r = 0; r < 40; r++) largest = Math.Max(largest, Math.Abs(layer.Weight.Span[r * 24 + j]));
            Assert.Equal(layer.Hessian!.LargestAbsolute(j) / scales[j], largest * scales[j], 1e-6);
        }
    }

    [Fact]
    public void Exponent_zero_makes_all_columns_of_the_weight_equally_large_and_eight_bits_lose_little()
    {
        LinearLayer layer = Samples.Layer(40, 24, 3);
        float[] factors = InputScales.Factors(SmoothQuant.Scales(layer, layer.Hessian!, 0));
        LinearLayer scaled = InputScales.Scaled(layer, factors);
        float[] largest = new float[24];
        for (int i = 0; i < scaled.Weight.Length; i++) largest[i % 24] = MathF.Max(largest[i % 24], MathF.Abs(scaled.Weight.Span[i]));
        Assert.All(largest, value => Assert.InRange(value / largest[0], 0.998f, 1.002f));
        Assert.InRange(new SmoothQuantOptions().Quantize(layer, Samples.Pool).OutputError!.Value, 0, 1e-3);
    }
}
