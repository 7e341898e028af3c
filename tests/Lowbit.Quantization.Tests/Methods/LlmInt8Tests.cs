using System;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class LlmInt8Tests
{
    [Fact]
    public void Three_columns_by_hand()
    {
        // Input 1 reaches −7, so its column stays; the others have the range ±2 with 3 bits: steps of 4/7, zero at code 4.
        using Hessian hessian = Samples.HessianOf([1, -7, 2, 5.9f, 0, 1], 3);
        var layer = new LinearLayer("sample", 1, 3, new float[] { 2, 9.25f, -0.5f }, hessian);
        QuantizedMatrix result = new LlmInt8Options { Bits = 3 }.Quantize(layer, Samples.Pool);
        Assert.Equal(12 / 7f, result.Dequantized[0], 1e-6f); // 3.5 → 4, cut off at 3 steps above zero
        Assert.Equal(9.25f, result.Dequantized[1]);
        Assert.Equal(-4 / 7f, result.Dequantized[2], 1e-6f);
        var codes = (CompositeCodes)result.Codes;
        Assert.Equal([1], ((SelectedInput)codes.Terms[1].Input).Columns);
        Assert.Equal([9.25f], ((PlainCodes)codes.Terms[1].Codes).Values);
        Assert.Equal([7, 4, 3], ((UniformCodes)codes.Terms[0].Codes).Codes);
        Assert.Equal((2 * 3 + 16) / 3.0, result.NominalBitsPerWeight, 1e-12);
    }

    [Fact]
    public void All_columns_are_half_precision_and_none_is_rounding()
    {
        LinearLayer layer = Samples.Layer(12, 30, 4);
        float[] half = Array.ConvertAll(layer.Weight.ToArray(), w => (float)(Half)w);
        foreach (LlmInt8Options options in new LlmInt8Options[] { new() { Share = 1 }, new() { Threshold = 0 } })
            Check.SameBits(half, options.Quantize(layer, Samples.Pool).Dequantized);
        float[] rounded = new RtnOptions { Bits = 8, Symmetric = true }.Quantize(layer, Samples.Pool).Dequantized;
        foreach (LlmInt8Options options in new LlmInt8Options[] { new() { Share = 0 }, new() { Threshold = 1e30 } })
            Check.SameBits(rounded, options.Quantize(layer, Samples.Pool).Dequantized);
    }

    [Fact]
    public void A_share_takes_the_largest_inputs()
    {
        LinearLayer layer = Samples.Layer(12, 30, 4);
        var codes = (CompositeCodes)new LlmInt8Options { Share = 0.1 }.Quantize(layer, Samples.Pool).Codes;
        int[] columns = ((SelectedInput)codes.Terms[1].Input).Columns;
        Assert.Equal(3, columns.Length);
        for (int j = 0; j < 30; j++)
            if (Array.IndexOf(columns, j) < 0) Assert.All(columns, kept => Assert.True(layer.Hessian!.LargestAbsolute(kept) >= layer.Hessian.LargestAbsolute(j)));
    }
}
