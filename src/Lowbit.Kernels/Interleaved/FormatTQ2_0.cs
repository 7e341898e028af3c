using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>256 columns; a chunk is 4 vectors of codes.</summary>
internal readonly unsafe struct FormatTQ2_0 : IBlockFormat
{
    public static int BlockLength => 256;
    public static int GroupChunks => 4;
    public static int BlockBytes => sizeof(BlockTQ2_0);
    public static int CodeBits => 2;
    public static bool FactorsOfHalves => false;
    public static int ChunkBytes => 4 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockTQ2_0* source = (BlockTQ2_0*)block;
        factors[0] = *(ushort*)&source->Scale;
        for (int chunk = 0; chunk < 4; chunk++)
            for (int i = 0; i < 4; i++, lanes += IBlockFormat.Rows) *lanes = TwoBitCodes.Lane((uint*)source->Codes, chunk, i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * step), 2 * unit, 3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(-1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header, IBlockFormat.FactorExponent);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockTQ2_0* block = (BlockTQ2_0*)row + chunk / 4;
        numbers.Factors[0] = (float)block->Scale;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = -1;
        }
        for (int i = 0; i < 64; i++) numbers.Codes[i] = (byte)TwoBitCodes.Read(block->Codes, chunk % 4 * 64 + i);
    }
}
