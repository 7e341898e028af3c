using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// 256 columns. A chunk begins with a vector of the integer scales and minimums of each row: s of its two halves, then m.
/// The bytes of the codes as they are: lower nibbles are the first half, upper ones the second.
/// </summary>
internal readonly unsafe struct FormatQ4_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int BlockBytes => sizeof(BlockQ4_K);
    public static int CodeBits => 4;
    public static int ScaleRun => 32;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => true;
    public static int HeaderBytes => 2 * IBlockFormat.Factors;
    public static int ChunkBytes => 9 * IBlockFormat.Vector;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        BlockQ4_K* source = (BlockQ4_K*)block;
        factors[0] = *(ushort*)&source->Scale;
        factors[IBlockFormat.Rows] = (ushort)(*(ushort*)&source->MinimumScale ^ 0x8000);
        for (int chunk = 0; chunk < 4; chunk++)
        {
            *lanes = SixBitScales.Lane(source->Scales, chunk);
            lanes += IBlockFormat.Rows;
            for (int i = 0; i < 8; i++, lanes += IBlockFormat.Rows) *lanes = ((uint*)source->Codes)[8 * chunk + i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (1 + unit % 2 * 4 + step)), unit / 2 * 4, 0xF);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scale<TLanes, TVector>(byte* chunk, int unit) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Load(chunk), unit / 2, unit / 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Pair(TLanes.Load(chunk), 2 + half, 2 + half);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors);

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        BlockQ4_K* block = (BlockQ4_K*)row + chunk / 4;
        numbers.Factors[0] = (float)block->Scale;
        numbers.MinimumFactors[0] = -(float)block->MinimumScale;
        SixBitScales.Read(block->Scales, chunk % 4, ref numbers);
        for (int i = 0; i < 64; i++) numbers.Codes[i] = (byte)(block->Codes[chunk % 4 * 32 + i % 32] >> i / 32 * 4 & 0xF);
    }
}

/// <summary>256 columns. A chunk begins with a vector of the four scales of each row; then 8 vectors of lower nibbles and 4 of upper two bits.</summary>
internal readonly unsafe struct FormatQ6_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int BlockBytes => sizeof(BlockQ6_K);
    public static int CodeBits => 6;
    public static int ScaleRun => 16;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => false;
    public static int HeaderBytes => IBlockFormat.Factors;
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
        TLanes.LoadHalves(header);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => default;

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

/// <summary>256 columns. A chunk begins with a vector of four bytes of each row, s low and m high; then 4 vectors of codes.</summary>
internal readonly unsafe struct FormatQ2_K : IBlockFormat
{
    public static int BlockLength => 256;
    public static int BlockBytes => sizeof(BlockQ2_K);
    public static int CodeBits => 2;
    public static int ScaleRun => 16;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => true;
    public static int HeaderBytes => 2 * IBlockFormat.Factors;
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
        TLanes.LoadHalves(header);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors);

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

/// <summary>Codes of 2 bits as ggml packs 256 of them: halves of 128, four planes of 32 in a byte.</summary>
internal static unsafe class TwoBitCodes
{
    /// <summary>Code i of a block.</summary>
    public static int Read(byte* codes, int i) => codes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;

    /// <summary>Step <paramref name="step"/> of the four units of a chunk, the first unit in the low bits.</summary>
    public static uint Lane(uint* codes, int chunk, int step)
    {
        uint* half = codes + chunk / 2 * 8;
        int shift = chunk % 2 * 4;
        return half[step] >> shift & 0x03030303 | (half[step + 4] >> shift & 0x03030303) << 2
            | (half[step] >> shift + 2 & 0x03030303) << 4 | (half[step + 4] >> shift + 2 & 0x03030303) << 6;
    }
}

/// <summary>The scales and minimums of 6 bits of <see cref="BlockQ4_K"/>.</summary>
internal static unsafe class SixBitScales
{
    /// <summary>s of the two halves of a chunk, then m of them.</summary>
    public static uint Lane(byte* scales, int chunk)
    {
        (int s0, int m0) = Pair(scales, 2 * chunk);
        (int s1, int m1) = Pair(scales, 2 * chunk + 1);
        return (uint)(s0 | s1 << 8 | m0 << 16 | m1 << 24);
    }

    public static void Read(byte* scales, int chunk, ref ChunkNumbers numbers)
    {
        for (int unit = 0; unit < 4; unit++) (numbers.Scales[unit], numbers.Minimums[unit]) = Pair(scales, 2 * chunk + unit / 2);
    }

    private static (int Scale, int Minimum) Pair(byte* scales, int sub) => sub < 4
        ? (scales[sub] & 63, scales[sub + 4] & 63)
        : (scales[sub + 4] & 0xF | scales[sub - 4] >> 6 << 4, scales[sub + 4] >> 4 | scales[sub] >> 6 << 4);
}
