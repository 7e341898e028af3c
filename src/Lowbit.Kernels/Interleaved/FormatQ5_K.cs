using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// 256 columns. A chunk begins with a vector of the integer scales and minimums of each row: s of its two halves, then m.
/// The lower four bits of the codes follow as in <see cref="FormatQ4_K"/>, then a vector of fifth bits for each half.
/// </summary>
internal readonly unsafe struct FormatQ5_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockQ5_K);
    public static int CodeBits => 5;
    public static int ScaleRun => 32;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => true;
    public static int ChunkBytes => 11 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockQ5_K* source = (BlockQ5_K*)block;
        factors[0] = *(ushort*)&source->Scale;
        factors[IBlockFormat.Rows] = (ushort)(*(ushort*)&source->MinimumScale ^ 0x8000);
        for (int chunk = 0; chunk < 4; chunk++)
        {
            *lanes = SixBitScales.Lane(source->Scales, chunk);
            lanes += IBlockFormat.Rows;
            for (int i = 0; i < 8; i++, lanes += IBlockFormat.Rows) *lanes = ((uint*)source->Codes)[8 * chunk + i];
            for (int half = 0; half < 2; half++, lanes += IBlockFormat.Rows) *lanes = OneBitCodes.Lane((uint*)source->HighBits, 2 * chunk + half);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector low = TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (1 + unit % 2 * 4 + step)), unit / 2 * 4, 0xF);
        return TLanes.Or(low, OneBitCodes.Load<TLanes, TVector>(chunk + 9 * IBlockFormat.Vector, unit, step, 4));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Load(chunk), unit / 2, unit / 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Load(chunk), 2 + half, 2 + half);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockQ5_K* block = (BlockQ5_K*)row + chunk / 4;
        numbers.Factors[0] = (float)block->Scale;
        numbers.MinimumFactors[0] = -(float)block->MinimumScale;
        SixBitScales.Read(block->Scales, chunk % 4, ref numbers);
        for (int i = 0; i < 64; i++)
            numbers.Codes[i] = (byte)(block->Codes[chunk % 4 * 32 + i % 32] >> i / 32 * 4 & 0xF | (block->HighBits[i % 32] >> chunk % 4 * 2 + i / 32 & 1) << 4);
    }
}
