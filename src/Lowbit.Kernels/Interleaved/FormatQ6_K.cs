using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>256 columns. A chunk begins with a vector of the four scales of each row; then 8 vectors of lower nibbles and 4 of upper two bits.</summary>
internal readonly unsafe struct FormatQ6_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockQ6_K);
    public static int CodeBits => 6;
    public static int ScaleRun => 16;
    public static bool FactorsOfHalves => false;
    public static int ChunkBytes => 13 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockQ6_K* source = (BlockQ6_K*)block;
        factors[0] = *(ushort*)&source->Scale;
        for (int chunk = 0; chunk < 4; chunk++)
        {
            *lanes = ((uint*)source->Scales)[chunk];
            lanes += IBlockFormat.Rows;
            uint* low = (uint*)source->Codes + chunk / 2 * 16;
            int shift = chunk % 2 * 4;
            for (int i = 0; i < 8; i++, lanes += IBlockFormat.Rows) *lanes = low[i] >> shift & 0x0F0F0F0F | (low[i + 8] >> shift & 0x0F0F0F0F) << 4;
            for (int i = 0; i < 4; i++, lanes += IBlockFormat.Rows) *lanes = TwoBitCodes.Lane((uint*)source->HighBits, chunk, i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector low = TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (1 + unit % 2 * 4 + step)), unit / 2 * 4, 0xF);
        TVector high = TLanes.Load(chunk + IBlockFormat.Vector * (9 + step));
        return TLanes.Or(low, unit < 2 ? TLanes.UpperBits(high, 4 - 2 * unit, 0x30) : TLanes.Bits(high, 2 * unit - 4, 0x30));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.SignedPair(TLanes.Load(chunk), unit, unit);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.MultiplyShorts(TLanes.SignedPair(TLanes.Load(chunk), 2 * half, 2 * half + 1), TLanes.Shorts(-32));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockQ6_K* block = (BlockQ6_K*)row + chunk / 4;
        chunk %= 4;
        numbers.Factors[0] = (float)block->Scale;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = block->Scales[4 * chunk + unit];
            numbers.Minimums[unit] = -32 * block->Scales[4 * chunk + unit];
        }
        for (int i = 0; i < 64; i++)
            numbers.Codes[i] = (byte)(block->Codes[chunk / 2 * 64 + i] >> chunk % 2 * 4 & 0xF | TwoBitCodes.Read(block->HighBits, 64 * chunk + i) << 4);
    }
}
