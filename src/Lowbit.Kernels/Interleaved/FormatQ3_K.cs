using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>256 columns. A chunk begins with a vector of the four scales s − 32 of each row; then 4 vectors of lower two bits and one of third bits for each half.</summary>
internal readonly unsafe struct FormatQ3_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockQ3_K);
    public static int CodeBits => 3;
    public static int ScaleRun => 16;
    public static bool FactorsOfHalves => false;
    public static int ChunkBytes => 7 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockQ3_K* source = (BlockQ3_K*)block;
        factors[0] = *(ushort*)&source->Scale;
        for (int chunk = 0; chunk < 4; chunk++)
        {
            *lanes = 0;
            for (int unit = 0; unit < 4; unit++) *lanes |= (uint)(byte)Scale(source, 4 * chunk + unit) << 8 * unit;
            lanes += IBlockFormat.Rows;
            for (int i = 0; i < 4; i++, lanes += IBlockFormat.Rows) *lanes = TwoBitCodes.Lane((uint*)source->Codes, chunk, i);
            for (int half = 0; half < 2; half++, lanes += IBlockFormat.Rows) *lanes = OneBitCodes.Lane((uint*)source->HighBits, 2 * chunk + half);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector low = TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (1 + step)), 2 * unit, 3);
        return TLanes.Or(low, OneBitCodes.Load<TLanes, TVector>(chunk + 5 * IBlockFormat.Vector, unit, step, 2));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.SignedPair(TLanes.Load(chunk), unit, unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.MultiplyShorts(TLanes.SignedPair(TLanes.Load(chunk), 2 * half, 2 * half + 1), TLanes.Shorts(-4));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockQ3_K* block = (BlockQ3_K*)row + chunk / 4;
        chunk %= 4;
        numbers.Factors[0] = (float)block->Scale;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = Scale(block, 4 * chunk + unit);
            numbers.Minimums[unit] = -4 * numbers.Scales[unit];
        }
        for (int i = 0; i < 64; i++)
            numbers.Codes[i] = (byte)(TwoBitCodes.Read(block->Codes, 64 * chunk + i) | (block->HighBits[i % 32] >> 2 * chunk + i / 32 & 1) << 2);
    }

    private static int Scale(BlockQ3_K* block, int sub) =>
        (block->Scales[sub % 8] >> sub / 8 * 4 & 0xF | (block->Scales[8 + sub % 4] >> sub / 4 * 2 & 3) << 4) - 32;
}
