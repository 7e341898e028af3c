using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The codes as in <see cref="FormatQ4_0"/>; the levels of the table, moved up by 12, are the unsigned codes. The powers of two are upper halves of floats.</summary>
internal readonly unsafe struct FormatMXFP4 : IBlockFormat
{
    private static Vector128<byte> Table
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
    }

    public static int BlockLength => 32;
    public static int BlockBytes => sizeof(BlockMXFP4);
    public static int CodeBits => 5;
    public static bool FactorsOfHalves => true;
    public static int ExponentMask => 0x7F80;
    public static int ScaledFactors => 0;
    public static int ChunkBytes => 8 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        for (int b = 0; b < blocks; b++, block += sizeof(BlockMXFP4))
        {
            factors[IBlockFormat.Rows * b] = (ushort)(BitConverter.SingleToUInt32Bits(TableBlocks.PowerOfTwo(*block)) >> 16);
            for (int i = 0; i < 4; i++) lanes[IBlockFormat.Rows * (4 * b + i)] = *(uint*)(block + 1 + 4 * i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LookUp(TLanes.Table(Table), TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (unit / 2 * 4 + step)), unit % 2 * 4, 0xF));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-12);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadUpperHalves(header + IBlockFormat.Factors * half);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        for (int half = 0; half < 2 && 2 * chunk + half < blocks; half++)
        {
            BlockMXFP4* block = (BlockMXFP4*)row + 2 * chunk + half;
            numbers.Factors[half] = TableBlocks.PowerOfTwo(block->Exponent);
            for (int i = 0; i < 16; i++)
            {
                numbers.Codes[32 * half + i] = Table[block->Codes[i] & 0xF];
                numbers.Codes[32 * half + i + 16] = Table[block->Codes[i] >> 4];
            }
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -12;
        }
    }
}
