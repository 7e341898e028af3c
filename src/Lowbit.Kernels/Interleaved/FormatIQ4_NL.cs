using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The codes as in <see cref="FormatQ4_0"/>; the levels of the table, moved up by 128, are the unsigned codes.</summary>
internal readonly unsafe struct FormatIQ4_NL : IBlockFormat
{
    private static Vector128<byte> Table
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241);
    }

    public static int BlockLength => 32;
    public static int BlockBytes => sizeof(BlockIQ4_NL);
    public static int CodeBits => 8;
    public static bool FactorsOfHalves => true;
    public static int ChunkBytes => 8 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        for (int b = 0; b < blocks; b++, block += sizeof(BlockIQ4_NL))
        {
            factors[IBlockFormat.Rows * b] = *(ushort*)block;
            for (int i = 0; i < 4; i++) lanes[IBlockFormat.Rows * (4 * b + i)] = *(uint*)(block + 2 + 4 * i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LookUp(TLanes.Table(Table), TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (unit / 2 * 4 + step)), unit % 2 * 4, 0xF));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * half, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        for (int half = 0; half < 2 && 2 * chunk + half < blocks; half++)
        {
            BlockIQ4_NL* block = (BlockIQ4_NL*)row + 2 * chunk + half;
            numbers.Factors[half] = (float)block->Scale;
            for (int i = 0; i < 16; i++)
            {
                numbers.Codes[32 * half + i] = Table[block->Codes[i] & 0xF];
                numbers.Codes[32 * half + i + 16] = Table[block->Codes[i] >> 4];
            }
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -128;
        }
    }
}
