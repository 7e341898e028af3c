using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>The codes as in <see cref="FormatQ5_0"/>.</summary>
internal readonly unsafe struct FormatQ5_1 : IBlockFormat
{
    public static int BlockLength => 32;
    public static int BlockBytes => sizeof(BlockQ5_1);
    public static int CodeBits => 5;
    public static bool FactorsOfHalves => true;
    public static bool MinimumHasFactor => true;
    public static int FactorBytes => 4 * IBlockFormat.Factors;
    public static int ChunkBytes => 10 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        for (int b = 0; b < blocks; b++, block += sizeof(BlockQ5_1))
        {
            factors[IBlockFormat.Rows * b] = *(ushort*)block;
            factors[IBlockFormat.Rows * (2 + b)] = *(ushort*)(block + 2);
            lanes[IBlockFormat.Rows * (8 + b)] = OneBitCodes.Lane(*(uint*)(block + 4));
            for (int i = 0; i < 4; i++) lanes[IBlockFormat.Rows * (4 * b + i)] = *(uint*)(block + 8 + 4 * i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector low = TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (unit / 2 * 4 + step)), unit % 2 * 4, 0xF);
        return TLanes.Or(low, OneBitCodes.Load<TLanes, TVector>(chunk + 8 * IBlockFormat.Vector, unit, step, 4));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * half, IBlockFormat.FactorExponent);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * (2 + half), IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        for (int half = 0; half < 2 && 2 * chunk + half < blocks; half++)
        {
            BlockQ5_1* block = (BlockQ5_1*)row + 2 * chunk + half;
            numbers.Factors[half] = (float)block->Scale;
            numbers.MinimumFactors[half] = (float)block->Minimum;
            for (int i = 0; i < 16; i++)
            {
                numbers.Codes[32 * half + i] = (byte)(block->Codes[i] & 0xF | (int)(block->HighBits >> i & 1) << 4);
                numbers.Codes[32 * half + i + 16] = (byte)(block->Codes[i] >> 4 | (int)(block->HighBits >> i + 16 & 1) << 4);
            }
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = 1;
        }
    }
}
