using System;

namespace Lowbit.Kernels.Blocks;

/// <summary>Blocks of 32 weights whose codes of 4 bits point into a table.</summary>
internal static unsafe class TableBlocks
{
    /// <summary>Levels of IQ4_NL.</summary>
    internal static ReadOnlySpan<sbyte> NonLinear => [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    /// <summary>Twice the values of E2M1. The code of −0 gives +0, as in ggml.</summary>
    internal static ReadOnlySpan<sbyte> TwiceE2M1 => [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    internal static void IQ4_NL(BlockIQ4_NL* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32) LookUp(NonLinear, block->Codes, (float)block->Scale, w);
    }

    internal static void MXFP4(BlockMXFP4* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32) LookUp(TwiceE2M1, block->Codes, PowerOfTwo(block->Exponent), w);
    }

    private static void LookUp(ReadOnlySpan<sbyte> table, byte* codes, float scale, float* w)
    {
        for (int i = 0; i < 16; i++)
        {
            w[i] = table[codes[i] & 0xF] * scale;
            w[i + 16] = table[codes[i] >> 4] * scale;
        }
    }

    /// <summary>2^(exponent − 128); the two smallest are denormal.</summary>
    internal static float PowerOfTwo(byte exponent) =>
        BitConverter.UInt32BitsToSingle(exponent < 2 ? 0x0020_0000u << exponent : (uint)(exponent - 1) << 23);
}
