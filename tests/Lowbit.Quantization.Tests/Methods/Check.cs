using System;
using System.Runtime.InteropServices;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

internal static class Check
{
    /// <summary>The codes rebuild exactly what the method says they do.</summary>
    public static void SameBits(QuantizedMatrix result)
    {
        var rebuilt = new float[result.Dequantized.Length];
        result.Codes.Dequantize(rebuilt);
        SameBits(rebuilt, result.Dequantized);
    }

    public static void SameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual) =>
        Assert.Equal(MemoryMarshal.Cast<float, int>(expected).ToArray(), MemoryMarshal.Cast<float, int>(actual).ToArray());

    /// <summary>Two implementations agree but for roundings that one of them happened to take the other way.</summary>
    public static void Agree(float[] expected, float[] actual, double share, double tolerance)
    {
        int agree = 0;
        for (int i = 0; i < expected.Length; i++)
            if (Math.Abs(expected[i] - actual[i]) <= tolerance) agree++;
        Assert.True(agree >= share * expected.Length, $"{agree} of {expected.Length} elements agree");
    }
}
