using System;

namespace Lowbit.Kernels.Blocks;

/// <summary>Blocks of 256 weights −1, 0, +1 with one scale.</summary>
internal static unsafe class TernaryBlocks
{
    private static ReadOnlySpan<byte> PowersOfThree => [1, 3, 9, 27, 81];

    internal static void TQ1_0(BlockTQ1_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++)
        {
            float scale = (float)block->Scale;
            w = Digits(block->Codes, bytes: 32, digits: 5, scale, w);
            w = Digits(block->Codes + 32, bytes: 16, digits: 5, scale, w);
            w = Digits(block->Tail, bytes: 4, digits: 4, scale, w);
        }
    }

    internal static void TQ2_0(BlockTQ2_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 256)
        {
            float scale = (float)block->Scale;
            for (int i = 0; i < 256; i++)
                w[i] = ((block->Codes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - 1) * scale;
        }
    }

    // A byte b stands for the fraction b / 256 in base 3: times 3^n modulo 256 drops the first n digits, times 3 brings the next into bits 8 and 9.
    private static float* Digits(byte* codes, int bytes, int digits, float scale, float* w)
    {
        for (int n = 0; n < digits; n++)
            for (int m = 0; m < bytes; m++)
                *w++ = (((byte)(codes[m] * PowersOfThree[n]) * 3 >> 8) - 1) * scale;
        return w;
    }
}
