using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>256 columns. A chunk begins with a vector of four bytes of each row, s low and m high; then 4 vectors of codes.</summary>
internal readonly unsafe struct FormatQ2_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockQ2_K);
    public static int CodeBits => 2;
    public static int ScaleRun => 16;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => true;
    public static int ChunkBytes => 5 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockQ2_K* source = (BlockQ2_K*)block;
        factors[0] = *(ushort*)&source->Scale;
        factors[IBlockFormat.Rows] = (ushort)(*(ushort*)&source->MinimumScale ^ 0x8000);
        for (int chunk = 0; chunk < 4; chunk++)
        {
            *lanes = ((uint*)source->Scales)[chunk];
            lanes += IBlockFormat.Rows;
            for (int i = 0; i < 4; i++, lanes += IBlockFormat.Rows) *lanes = TwoBitCodes.Lane((uint*)source->Codes, chunk, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (1 + step)), 2 * unit, 3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Bits(TLanes.Load(chunk), 0, 0xF), unit, unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Bits(TLanes.Load(chunk), 4, 0xF), 2 * half, 2 * half + 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockQ2_K* block = (BlockQ2_K*)row + chunk / 4;
        chunk %= 4;
        numbers.Factors[0] = (float)block->Scale;
        numbers.MinimumFactors[0] = -(float)block->MinimumScale;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = block->Scales[4 * chunk + unit] & 0xF;
            numbers.Minimums[unit] = block->Scales[4 * chunk + unit] >> 4;
        }
        for (int i = 0; i < 64; i++) numbers.Codes[i] = (byte)TwoBitCodes.Read(block->Codes, 64 * chunk + i);
    }
}
