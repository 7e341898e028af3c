using System;
using System.Runtime.InteropServices;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>ggml's K-quants, the twin of <see cref="SuperBlocks"/>: packs what <see cref="SuperBlockSearch"/> finds.</summary>
internal static unsafe class SuperBlockEncoder
{
    private const int Length = SuperBlockSearch.Length;

    internal static void Q2_K(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ2_K block)
    {
        Span<float> codes = stackalloc float[Length];
        Span<int> scales = stackalloc int[16], minimums = stackalloc int[16];
        (block.Scale, block.MinimumScale) = SuperBlockSearch.WithMinimums(x, importance, highest: 3, largestScale: 15, codes, scales, minimums);
        for (int sub = 0; sub < 16; sub++) block.Scales[sub] = (byte)(scales[sub] | minimums[sub] << 4);
        TwoBits(codes, 0, MemoryMarshal.CreateSpan(ref block.Codes[0], 64));
    }

    internal static void Q3_K(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ3_K block)
    {
        Span<float> codes = stackalloc float[Length];
        Span<int> scales = stackalloc int[16];
        block.Scale = SuperBlockSearch.Centred(x, importance, lowest: -4, smallestScale: -32, codes, scales);
        foreach (ref float code in codes) code += 4;
        TwoBits(codes, 0, MemoryMarshal.CreateSpan(ref block.Codes[0], 64));
        BitPlanes(codes, 2, MemoryMarshal.CreateSpan(ref block.HighBits[0], 32));
        Span<byte> packed = MemoryMarshal.CreateSpan(ref block.Scales[0], 12);
        packed.Clear();
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = scales[sub] + 32;
            packed[sub % 8] |= (byte)((scale & 0xF) << (4 * (sub / 8)));
            packed[8 + sub % 4] |= (byte)(scale >> 4 << (2 * (sub / 4)));
        }
    }

    internal static void Q4_K(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ4_K block)
    {
        Span<float> codes = stackalloc float[Length];
        Span<int> scales = stackalloc int[8], minimums = stackalloc int[8];
        (block.Scale, block.MinimumScale) = SuperBlockSearch.WithMinimums(x, importance, highest: 15, largestScale: 63, codes, scales, minimums);
        SixBitPairs(scales, minimums, MemoryMarshal.CreateSpan(ref block.Scales[0], 12));
        FourBits(codes, 32, MemoryMarshal.CreateSpan(ref block.Codes[0], 128));
    }

    internal static void Q5_K(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ5_K block)
    {
        Span<float> codes = stackalloc float[Length];
        Span<int> scales = stackalloc int[8], minimums = stackalloc int[8];
        (block.Scale, block.MinimumScale) = SuperBlockSearch.WithMinimums(x, importance, highest: 31, largestScale: 63, codes, scales, minimums);
        SixBitPairs(scales, minimums, MemoryMarshal.CreateSpan(ref block.Scales[0], 12));
        FourBits(codes, 32, MemoryMarshal.CreateSpan(ref block.Codes[0], 128));
        BitPlanes(codes, 4, MemoryMarshal.CreateSpan(ref block.HighBits[0], 32));
    }

    internal static void Q6_K(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ6_K block)
    {
        Span<float> codes = stackalloc float[Length];
        Span<int> scales = stackalloc int[16];
        block.Scale = SuperBlockSearch.Centred(x, importance, lowest: -32, smallestScale: -128, codes, scales);
        foreach (ref float code in codes) code += 32;
        for (int sub = 0; sub < 16; sub++) block.Scales[sub] = (sbyte)scales[sub];
        FourBits(codes, 64, MemoryMarshal.CreateSpan(ref block.Codes[0], 128));
        TwoBits(codes, 4, MemoryMarshal.CreateSpan(ref block.HighBits[0], 64));
    }

    // Two bits of every code: halves of 128, four planes of 32 in a byte.
    private static void TwoBits(ReadOnlySpan<float> codes, int shift, Span<byte> packed)
    {
        packed.Clear();
        for (int i = 0; i < Length; i++) packed[i / 128 * 32 + i % 32] |= (byte)(((int)codes[i] >> shift & 3) << (i % 128 / 32 * 2));
    }

    // The low four bits of every code: two runs in a byte.
    private static void FourBits(ReadOnlySpan<float> codes, int run, Span<byte> packed)
    {
        packed.Clear();
        for (int i = 0; i < Length; i++) packed[i / (2 * run) * run + i % run] |= (byte)(((int)codes[i] & 0xF) << (i / run % 2 * 4));
    }

    // One bit of every code: eight planes of 32 in a byte.
    private static void BitPlanes(ReadOnlySpan<float> codes, int shift, Span<byte> packed)
    {
        packed.Clear();
        for (int i = 0; i < Length; i++) packed[i % 32] |= (byte)(((int)codes[i] >> shift & 1) << (i / 32));
    }

    private static void SixBitPairs(ReadOnlySpan<int> scales, ReadOnlySpan<int> minimums, Span<byte> packed)
    {
        for (int sub = 0; sub < 4; sub++)
        {
            packed[sub] = (byte)(scales[sub] | scales[sub + 4] >> 4 << 6);
            packed[sub + 4] = (byte)(minimums[sub] | minimums[sub + 4] >> 4 << 6);
            packed[sub + 8] = (byte)(scales[sub + 4] & 0xF | (minimums[sub + 4] & 0xF) << 4);
        }
    }
}
