using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Floats;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class FloatRtnTests
{
    [Fact]
    public void Shared_exponent_is_that_of_the_specification()
    {
        // Largest 7: floor(log2 7) − floor(log2 6) = 0, and 7 is cut off at 6. Largest 0.3: 2^-2 / 4 = 1/16; 0.3 · 16 = 4.8, to 4.
        float[] weight = new float[64];
        (weight[0], weight[1], weight[2], weight[3]) = (7, -2.5f, 5, 0.2f);
        (weight[32], weight[33]) = (0.3f, -0.01f);
        QuantizedMatrix result = Quantize("mxfp4", 1, 64, weight);
        Assert.Equal([1f, 0.0625f], ((FloatCodes)result.Codes).Scales);
        Assert.Equal([6, -2, 4, 0], result.Dequantized[..4]); // ties to even
        Assert.Equal([0.25f, -0f], result.Dequantized[32..34]);
    }

    [Fact]
    public void Blocks_of_zeros_and_of_the_smallest_numbers_give_zeros()
    {
        float[] weight = new float[96];
        weight[32] = float.Epsilon;
        weight[70] = 1;
        foreach (string method in new[] { "mxfp4", "mxfp6", "mxfp8", "mxint8", "nvfp4", "fp6", "fp8" })
        {
            QuantizedMatrix result = Quantize(method, 1, 96, weight);
            Assert.All(result.Dequantized[..32], value => Assert.Equal(0, value));
            Assert.All(result.Dequantized, value => Assert.True(float.IsFinite(value)));
            Assert.Equal(1, result.Dequantized[70], 1e-6f);
            Assert.All(Quantize(method, 1, 96, new float[96]).Dequantized, value => Assert.Equal(0, value));
        }
    }

    // The largest weight is the largest number of the format, so that the scale is 1 and numbers are rounded as they are.
    // A code is even where its last bit of the fraction is 0: of two equally near numbers that one is taken.
    [Theory]
    // e2m3: subnormals and 1 to 2 in steps of 1/8, 2 to 4 of 1/4, 4 to 7.5 of 1/2.
    [InlineData("fp6", "e2m3", new[] { 7.5f, -7.5f, 7.3f, 7.25f, 7.2f }, new[] { 7.5f, -7.5f, 7.5f, 7, 7 })] // 7 is 11.110, 7.5 is 11.111
    [InlineData("fp6", "e2m3", new[] { 7.5f, 4.75f, 5.25f, 5.3f, 2.125f, 2.375f }, new[] { 7.5f, 5, 5, 5.5f, 2, 2.5f })]
    [InlineData("fp6", "e2m3", new[] { 7.5f, 1.0625f, 1.1875f, 0.9375f, 0.9f }, new[] { 7.5f, 1, 1.25f, 1, 0.875f })] // 0.875 is the largest subnormal
    [InlineData("fp6", "e2m3", new[] { 7.5f, 0.125f, 0.0625f, 0.063f, -0.1875f, 0.3125f }, new[] { 7.5f, 0.125f, 0, 0.125f, -0.25f, 0.25f })]
    // e3m2: subnormals and 1/4 to 1/2 in steps of 1/16, then twice as long from every power of two on.
    [InlineData("fp6", "e3m2", new[] { 28f, -28, 27, 26, 25, 22, 18 }, new[] { 28f, -28, 28, 24, 24, 24, 16 })]
    [InlineData("fp6", "e3m2", new[] { 28f, 15, 11, 9, 1.125f, 1.375f, 0.5625f }, new[] { 28f, 16, 12, 8, 1, 1.5f, 0.5f })]
    [InlineData("fp6", "e3m2", new[] { 28f, 0.21875f, 0.2f, 0.28125f, 0.34375f }, new[] { 28f, 0.25f, 0.1875f, 0.25f, 0.375f })] // 3/16 is the largest subnormal
    [InlineData("fp6", "e3m2", new[] { 28f, 0.0625f, 0.03125f, 0.032f, -0.09375f }, new[] { 28f, 0.0625f, 0, 0.0625f, -0.125f })]
    // e4m3: 256 to 448 in steps of 32, subnormals of 2^-9 = 0.001953125 up to 7 · 2^-9.
    [InlineData("fp8", "e4m3", new[] { 448f, -448, 433, 432, 431, 400 }, new[] { 448f, -448, 448, 448, 416, 384 })] // 448 is 1.110, 416 is 1.101
    [InlineData("fp8", "e4m3", new[] { 448f, 17, 19, 1.0625f, 1.1875f, 0.99f }, new[] { 448f, 16, 20, 1, 1.25f, 1 })]
    [InlineData("fp8", "e4m3", new[] { 448f, 0.015625f, 0.0146484375f, 0.0166015625f, 0.014f }, new[] { 448f, 0.015625f, 0.015625f, 0.015625f, 0.013671875f })] // 8, 7.5, 8.5 and 7.17
    [InlineData("fp8", "e4m3", new[] { 448f, 0.001953125f, 0.0009765625f, 0.001f, -0.0029296875f }, new[] { 448f, 0.001953125f, 0, 0.001953125f, -0.00390625f })] // 1, 0.5, 0.51 and 1.5
    // e5m2: 32768 to 57344 in steps of 8192, subnormals of 2^-16 = 0.0000152587890625 up to 3 · 2^-16.
    [InlineData("fp8", "e5m2", new[] { 57344f, -57344, 53249, 53248, 45056, 36864 }, new[] { 57344f, -57344, 57344, 49152, 49152, 32768 })]
    [InlineData("fp8", "e5m2", new[] { 57344f, 9, 11, 1.125f, 1.375f, 0.9f }, new[] { 57344f, 8, 12, 1, 1.5f, 0.875f })]
    [InlineData("fp8", "e5m2", new[] { 57344f, 4f / 65536, 3.5f / 65536, 4.5f / 65536, 3.4f / 65536 }, new[] { 57344f, 4f / 65536, 4f / 65536, 4f / 65536, 3f / 65536 })]
    [InlineData("fp8", "e5m2", new[] { 57344f, 1f / 65536, 0.5f / 65536, 0.51f / 65536, -1.5f / 65536 }, new[] { 57344f, 1f / 65536, 0, 1f / 65536, -2f / 65536 })]
    // What is above the largest number is cut off at it: scales of the microscaling formats are powers of two.
    [InlineData("mxfp6", "e2m3", new[] { 7.9f, -7.75f, 7.25f }, new[] { 7.5f, -7.5f, 7 })]
    [InlineData("mxfp6", "e3m2", new[] { 31.9f, -30, 26 }, new[] { 28f, -28, 24 })]
    [InlineData("mxfp8", "e4m3", new[] { 511f, -464, 400 }, new[] { 448f, -448, 384 })]
    [InlineData("mxfp8", "e5m2", new[] { 65504f, -61440, 53248 }, new[] { 57344f, -57344, 49152 })]
    public void Numbers_are_rounded_as_by_hand(string method, string format, float[] weight, float[] expected)
    {
        QuantizedMatrix result = Quantize(method, 1, weight.Length, weight, $"format={format}");
        Assert.Equal([1f], ((FloatCodes)result.Codes).Scales);
        Assert.Equal(expected, result.Dequantized);
    }

    [Fact]
    public void Two_levels_of_scales_of_nvfp4_are_worked_by_hand()
    {
        // Largest of the matrix 2688 = 6 · 448: t = 1. The second block: 12 / 6 = 2, so 5 is 2.5 · 2, to the even 2 · 2. 200 / 448 goes to 0.5.
        float[] weight = new float[32];
        (weight[0], weight[1], weight[16], weight[17]) = (2688, 200, 12, 5);
        QuantizedMatrix result = Quantize("nvfp4", 1, 32, weight);
        var codes = (FloatCodes)result.Codes;
        Assert.Equal(1, codes.MatrixScale);
        Assert.Equal([448f, 2], codes.Scales);
        Assert.Equal((2688f, 224f, 12f, 4f), (result.Dequantized[0], result.Dequantized[1], result.Dequantized[16], result.Dequantized[17]));
    }

    [Fact]
    public void More_bits_and_finer_scales_lose_less()
    {
        float[] weight = Samples.Normal(64 * 256, 5, 0.02f);
        double Error(string method, params string[] settings) => Quantize(method, 64, 256, weight, settings).Dequantized.Zip(weight, (a, b) => Math.Pow(a - b, 2)).Sum();
        Assert.True(Error("mxint8") < Error("mxfp8"));
        Assert.True(Error("mxfp6") < Error("mxfp4"));
        Assert.True(Error("nvfp4") < Error("mxfp4"));
        Assert.True(Error("fp6", "group-size=32") < Error("fp6"));
        Assert.True(Error("ternary") < Error("binary"));
    }

    [Fact]
    public void Ternary_is_never_above_binary_and_both_are_worked_by_hand()
    {
        // Binary: mean |w| = 1. Ternary: 4²/4 = 4, 3.9²/3, 3.5²/2 = 6.125, 2²/1: two weights, mean 1.75.
        float[] weight = [2, -1.5f, 0.4f, -0.1f];
        Assert.Equal([1, -1, 1, -1], Quantize("binary", 1, 4, weight).Dequantized);
        QuantizedMatrix ternary = Quantize("ternary", 1, 4, weight);
        Assert.Equal([1.75f, -1.75f, 0, 0], ternary.Dequantized);
        Assert.Equal([2, 0, 1, 1], ((CodebookCodes)ternary.Codes).Codes);
        for (int seed = 0; seed < 50; seed++)
        {
            float[] group = Samples.Normal(16, seed);
            double Error(string method) => Quantize(method, 1, 16, group).Dequantized.Zip(group, (a, b) => Math.Pow(a - b, 2)).Sum();
            Assert.True(Error("ternary") <= Error("binary") + 1e-9);
        }
    }

    [Theory]
    [InlineData("fp8", "format=e3m2")]
    [InlineData("fp6", "group-size=-2")]
    [InlineData("mxfp4", "group-size=32")]
    [InlineData("nvfp4", "format=e2m1")]
    public void Settings_that_a_format_does_not_have_are_refused(string method, string setting) =>
        Assert.Throws<Core.LowbitException>(() => Quantize(method, 1, 32, new float[32], setting));

    private static QuantizedMatrix Quantize(string method, int rows, int columns, float[] weight, params string[] settings)
    {
        Dictionary<string, string> values = settings.ToDictionary(setting => setting.Split('=')[0], setting => setting.Split('=')[1]);
        return MethodRegistry.Find(method).Options(values).Quantize(new LinearLayer("sample", rows, columns, weight), Samples.Pool);
    }
}
