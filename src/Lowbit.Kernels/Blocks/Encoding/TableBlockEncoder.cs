using System;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>Blocks of 32 weights whose codes point into a table: the twin of <see cref="TableBlocks"/>.</summary>
internal static unsafe class TableBlockEncoder
{
    private const int Length = 32, Ranges = 36, MostRounds = 4, ExponentsTried = 3;

    internal static void IQ4_NL(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockIQ4_NL block)
    {
        Span<byte> codes = stackalloc byte[Length];
        block.Scale = HalfScale.Round(Factor(x, importance));
        Nearest(TableBlocks.NonLinear, x, (float)block.Scale, codes);
        for (int i = 0; i < 16; i++) block.Codes[i] = (byte)(codes[i] | codes[i + 16] << 4);
    }

    // The smallest power of two that holds the block and the ones below it: cutting off one weight may serve the others.
    internal static void MXFP4(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockMXFP4 block)
    {
        Span<byte> codes = stackalloc byte[Length];
        float largest = 0;
        foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
        int holds = 0; // exponent of a block of zeros
        while (holds < 254 && 12 * TableBlocks.PowerOfTwo((byte)holds) < largest) holds++;
        double least = double.PositiveInfinity;
        for (int exponent = holds; exponent >= Math.Max(0, holds - ExponentsTried + 1); exponent--)
        {
            float factor = TableBlocks.PowerOfTwo((byte)exponent);
            Nearest(TableBlocks.TwiceE2M1, x, factor, codes);
            double error = 0;
            for (int i = 0; i < Length; i++)
            {
                double lost = x[i] - TableBlocks.TwiceE2M1[codes[i]] * factor;
                error += importance[i] * lost * lost;
            }
            if (!(error < least)) continue;
            least = error;
            block.Exponent = (byte)exponent;
        }
        Nearest(TableBlocks.TwiceE2M1, x, TableBlocks.PowerOfTwo(block.Exponent), codes);
        for (int i = 0; i < 16; i++) block.Codes[i] = (byte)(codes[i] | codes[i + 16] << 4);
    }

    // As GridSearch.Symmetric, with the levels of the table in place of the integers.
    private static float Factor(ReadOnlySpan<float> x, ReadOnlySpan<float> importance)
    {
        float largest = 0;
        foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
        if (largest == 0) return 0;
        Span<float> levels = stackalloc float[Length];
        float best = 0, most = 0;
        for (int t = 0; t < Ranges; t++)
        {
            float factor = largest / (100f + 70f * t / (Ranges - 1)); // the table ends at −127 and 113
            for (int sign = 0; sign < 2; sign++, factor = -factor)
            {
                float tried = factor;
                for (int round = 0; round < MostRounds; round++)
                {
                    Levels(x, tried, levels);
                    (float product, float square) = GridSearch.Moments(x, levels, importance);
                    float gain = square > 0 ? product * product / square : 0;
                    if (!(gain > most)) break;
                    (most, best) = (gain, product / square);
                    tried = best;
                }
            }
        }
        return best;
    }

    // The levels of IQ4_NL nearest to x / factor: the lowest and every step to the next whose middle is passed.
    private static void Levels(ReadOnlySpan<float> x, float factor, Span<float> levels)
    {
        ReadOnlySpan<sbyte> table = TableBlocks.NonLinear;
        Vector256<float> inverse = Vector256.Create(1 / factor);
        for (int i = 0; i < x.Length; i += Vector256<float>.Count)
        {
            Vector256<float> value = Vector256.Create(x[i..]) * inverse, level = Vector256.Create((float)table[0]);
            for (int k = 1; k < table.Length; k++)
                level += Vector256.GreaterThan(value, Vector256.Create((table[k - 1] + table[k]) / 2f)) & Vector256.Create((float)(table[k] - table[k - 1]));
            level.CopyTo(levels[i..]);
        }
    }

    // The code of the level nearest to x / factor, the first of equals.
    private static void Nearest(ReadOnlySpan<sbyte> table, ReadOnlySpan<float> x, float factor, Span<byte> codes)
    {
        float inverse = factor == 0 ? 0 : 1 / factor;
        if (!float.IsFinite(inverse)) inverse = 0;
        for (int i = 0; i < x.Length; i++)
        {
            float value = x[i] * inverse, least = float.PositiveInfinity;
            for (int k = 0; k < table.Length; k++)
            {
                float distance = MathF.Abs(value - table[k]);
                if (!(distance < least)) continue;
                least = distance;
                codes[i] = (byte)k;
            }
        }
    }
}
