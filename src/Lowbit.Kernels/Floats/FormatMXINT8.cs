using System;
using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Floats;

/// <summary>32 integers with a power of two, as <see cref="MicroscalingBlocks"/> hands them out.</summary>
internal unsafe struct BlockMXINT8
{
    /// <summary>E8M0.</summary>
    public byte Exponent;

    public fixed sbyte Codes[32];
}

/// <summary>The codes as in <see cref="FormatQ8_0"/>; the powers of two, 64 times smaller, are upper halves of floats.</summary>
internal readonly unsafe struct FormatMXINT8 : IBlockFormat
{
    public static int BlockLength => 32;
    public static int BlockBytes => sizeof(BlockMXINT8);
    public static int CodeBits => 8;
    public static bool FactorsOfHalves => true;
    public static int ExponentMask => 0x7F80;
    public static int ScaledFactors => 0;
    public static int ChunkBytes => FormatQ8_0.ChunkBytes;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        for (int b = 0; b < blocks; b++, block += sizeof(BlockMXINT8))
        {
            factors[IBlockFormat.Rows * b] = (ushort)(BitConverter.SingleToUInt32Bits(Factor(*block)) >> 16);
            for (int i = 0; i < 8; i++) lanes[IBlockFormat.Rows * (8 * b + i)] = *(uint*)(block + 1 + 4 * i) ^ 0x80808080;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatQ8_0.Codes<TLanes, TVector>(chunk, unit, step);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadUpperHalves(header + IBlockFormat.Factors * half);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        for (int half = 0; half < 2 && 2 * chunk + half < blocks; half++)
        {
            BlockMXINT8* block = (BlockMXINT8*)row + 2 * chunk + half;
            numbers.Factors[half] = Factor(block->Exponent);
            for (int i = 0; i < 32; i++) numbers.Codes[32 * half + i] = (byte)(block->Codes[i] + 128);
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -128;
        }
    }

    // 2^-133 to 2^121: all are floats, and their upper halves tell them.
    private static float Factor(byte exponent) => MathF.ScaleB(1, exponent - 127 - 6);
}
