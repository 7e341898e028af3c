using System;
using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>
/// Uniform grids in interleaved rows: F = scale, G = −scale · zero, m = 1. Codes are cut into fields as in
/// <see cref="CodeBlock"/>: that of 4 bits as in <see cref="FormatQ4_1"/>, that of 2 as in <see cref="FormatQ2_K"/>, that of
/// 1 as in <see cref="OneBitCodes"/>; codes of 8 bits are bytes.
/// </summary>
internal readonly unsafe struct FormatUniform<TWidth, TGroups> : IBlockFormat where TWidth : struct, ICodeWidth where TGroups : struct, IGroupWidth
{
    public static int BlockLength => UniformLayout.BlockLength;
    public static int BlockBytes => sizeof(UniformBlock);
    public static int CodeBits => TWidth.Bits;
    public static bool FactorsOfHalves => TGroups.AreHalves;
    public static bool MinimumHasFactor => true;
    public static int FactorBytes => 2 * Parameters * IBlockFormat.Factors;
    public static int ScaledFactors => Parameters; // zeros are too large, and not subnormal

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2 * TWidth.Bits * IBlockFormat.Vector;
    }

    private static int Parameters
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TGroups.AreHalves ? 2 : 1;
    }

    private static int Nibbles => TWidth.Bits & 4;
    private static int PairsAt => 2 * Nibbles;
    private static int OnesAt => 2 * (TWidth.Bits & 6);

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        UniformBlock* source = (UniformBlock*)block;
        for (int i = 0; i < Parameters; i++)
        {
            factors[IBlockFormat.Rows * i] = source->Scales[i];
            factors[IBlockFormat.Rows * (Parameters + i)] = source->MinusZeros[i];
        }
        if (source->Bits == 7)
        {
            byte* bytes = stackalloc byte[UniformLayout.BlockLength];
            CodeBlock.Unpack(source->Codes, source->Bits, bytes);
            InterleaveCodes(bytes, lanes);
        }
        else
        {
            InterleaveCodes(source->Codes, lanes);
        }
    }

    /// <summary>Writes one row's codes of a chunk.</summary>
    /// <param name="codes">As <see cref="CodeBlock"/> stores them.</param>
    /// <param name="lanes">The row's lane of the first vector of the codes; the next ones follow every 16.</param>
    public static void InterleaveCodes(byte* codes, uint* lanes)
    {
        uint* words = (uint*)codes;
        if (TWidth.Bits == 8)
        {
            for (int i = 0; i < 16; i++) lanes[IBlockFormat.Rows * i] = words[i];
            return;
        }
        if (Nibbles != 0)
        {
            // Stored are columns i and 32 + i side by side, here i and 16 + i.
            for (int step = 0; step < 4; step++)
            {
                uint a = words[step], b = words[4 + step];
                lanes[IBlockFormat.Rows * step] = a & 0x0F0F0F0F | (b & 0x0F0F0F0F) << 4;
                lanes[IBlockFormat.Rows * (4 + step)] = a >> 4 & 0x0F0F0F0F | b & 0xF0F0F0F0;
            }
            words += 8;
        }
        if ((TWidth.Bits & 2) != 0)
        {
            for (int step = 0; step < 4; step++) lanes[IBlockFormat.Rows * (PairsAt + step)] = words[step];
            words += 4;
        }
        for (int half = 0; half < 2 * (TWidth.Bits & 1); half++) lanes[IBlockFormat.Rows * (OnesAt + half)] = OneBitCodes.Lane(words[half]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        if (TWidth.Bits == 8) return TLanes.Load(chunk + IBlockFormat.Vector * (4 * unit + step));
        TVector codes = default;
        if (Nibbles != 0) codes = TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (unit / 2 * 4 + step)), unit % 2 * 4, 0xF);
        if ((TWidth.Bits & 2) != 0)
        {
            TVector pairs = TLanes.Load(chunk + IBlockFormat.Vector * (PairsAt + step));
            if (Nibbles == 0) codes = TLanes.Bits(pairs, 2 * unit, 3);
            else codes = TLanes.Or(codes, unit < 2 ? TLanes.UpperBits(pairs, 4 - 2 * unit, 0x30) : TLanes.Bits(pairs, 2 * unit - 4, 0x30));
        }
        if ((TWidth.Bits & 1) != 0)
            codes = TLanes.Or(codes, OneBitCodes.Load<TLanes, TVector>(chunk + IBlockFormat.Vector * OnesAt, unit, step, TWidth.Bits & 6));
        return codes;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.LoadHalves(header + IBlockFormat.Factors * half, IBlockFormat.FactorExponent);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Multiply(
            TLanes.LoadHalves(header + IBlockFormat.Factors * half, IBlockFormat.FactorExponent),
            TLanes.LoadHalves(header + IBlockFormat.Factors * (Parameters + half), 0));

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        UniformBlock* block = (UniformBlock*)row + chunk;
        for (int i = 0; i < Parameters; i++)
        {
            numbers.Factors[i] = (float)BitConverter.UInt16BitsToHalf(block->Scales[i]);
            numbers.MinimumFactors[i] = numbers.Factors[i] * (float)BitConverter.UInt16BitsToHalf(block->MinusZeros[i]);
        }
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = 1;
        }
        fixed (byte* codes = numbers.Codes) CodeBlock.Unpack(block->Codes, block->Bits, codes);
    }
}

/// <summary>Whether groups hold whole chunks, or each half of one is a group.</summary>
internal interface IGroupWidth
{
    static abstract bool AreHalves { get; }
}

internal readonly struct WholeChunks : IGroupWidth { public static bool AreHalves => false; }
internal readonly struct HalfChunks : IGroupWidth { public static bool AreHalves => true; }
