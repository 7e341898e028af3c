using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>Codes moved up by 128, in their order.</summary>
internal readonly unsafe struct FormatQ8_0 : IBlockFormat
{
    public static int BlockLength => 32;
    public static int BlockBytes => sizeof(BlockQ8_0);
    public static int CodeBits => 8;
    public static bool FactorsOfHalves => true;
    public static int ChunkBytes => 16 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        for (int b = 0; b < blocks; b++, block += sizeof(BlockQ8_0))
        {
            factors[IBlockFormat.Rows * b] = *(ushort*)block;
            for (int i = 0; i < 8; i++) lanes[IBlockFormat.Rows * (8 * b + i)] = *(uint*)(block + 2 + 4 * i) ^ 0x80808080;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Load(chunk + IBlockFormat.Vector * (4 * unit + step));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * half, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        for (int half = 0; half < 2 && 2 * chunk + half < blocks; half++)
        {
            BlockQ8_0* block = (BlockQ8_0*)row + 2 * chunk + half;
            numbers.Factors[half] = (float)block->Scale;
            for (int i = 0; i < 32; i++) numbers.Codes[32 * half + i] = (byte)(block->Codes[i] + 128);
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -128;
        }
    }
}
