using System;
using System.Runtime.InteropServices;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>Blocks of 256 weights −1, 0, +1 with one scale: the twin of <see cref="TernaryBlocks"/>.</summary>
internal static unsafe class TernaryBlockEncoder
{
    private const int Length = 256;

    internal static void TQ1_0(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockTQ1_0 block)
    {
        Span<byte> digits = stackalloc byte[Length];
        block.Scale = Digits(x, importance, digits);
        for (int m = 0; m < 32; m++) block.Codes[m] = Fraction(digits, m, 32, 5);
        for (int m = 0; m < 16; m++) block.Codes[32 + m] = Fraction(digits, 160 + m, 16, 5);
        for (int m = 0; m < 4; m++) block.Tail[m] = Fraction(digits, 240 + m, 4, 4);
    }

    internal static void TQ2_0(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockTQ2_0 block)
    {
        Span<byte> digits = stackalloc byte[Length];
        block.Scale = Digits(x, importance, digits);
        Span<byte> codes = MemoryMarshal.CreateSpan(ref block.Codes[0], Length / 4);
        codes.Clear();
        for (int i = 0; i < Length; i++) codes[i / 128 * 32 + i % 32] |= (byte)(digits[i] << (i % 128 / 32 * 2));
    }

    // The k largest weights are ±a and the others zero, with the k for which (Σ w |x|)² / Σ w over them, the error that is
    // saved, is largest; a is their mean. Digits are −1, 0, 1 and one more.
    private static Half Digits(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, Span<byte> digits)
    {
        Span<float> sizes = stackalloc float[Length];
        Span<float> weights = stackalloc float[Length];
        for (int i = 0; i < Length; i++) (sizes[i], weights[i]) = (-MathF.Abs(x[i]), importance[i]);
        sizes.Sort(weights);
        double sum = 0, count = 0, most = 0, scale = 0;
        for (int k = 0; k < Length; k++)
        {
            sum -= (double)weights[k] * sizes[k];
            count += weights[k];
            if (!(sum * sum / count > most)) continue;
            most = sum * sum / count;
            scale = sum / count;
        }
        Half half = HalfScale.Round((float)scale);
        float middle = (float)half / 2;
        for (int i = 0; i < Length; i++) digits[i] = (byte)(1 + (x[i] > middle ? 1 : 0) - (x[i] < -middle ? 1 : 0));
        return half;
    }

    // The digits as a base-3 fraction of 256ths, rounded up, so that cutting digits off gives them back exactly (TernaryBlocks.Digits).
    private static byte Fraction(ReadOnlySpan<byte> digits, int first, int stride, int count)
    {
        int number = 0;
        for (int n = 0; n < 5; n++) number = 3 * number + (n < count ? digits[first + n * stride] : 0);
        return (byte)((number * 256 + 242) / 243);
    }
}
