using System;
using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Evenly spaced levels in interleaved rows: m − a, m + a or m − a, m, m + a with F = a and G = m − a, or F (i − j) where there is no m; any two, l and
/// u, with F = u − l and G = l.
/// </summary>
internal readonly unsafe struct FormatLevels<TCodes, TStored> : IBlockFormat where TCodes : struct, ILevelCodes where TStored : struct, IStoredLevels
{
    public static int BlockLength => UniformLayout.BlockLength;
    public static int BlockBytes => sizeof(LevelBlock);
    public static int GroupChunks => 4;
    public static int CodeBits => 2;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => TStored.Numbers == 2;
    public static bool StepsArePaired => TCodes.ArePaired;
    public static int FactorBytes => TStored.Numbers * IBlockFormat.Factors;
    public static int SharedBytes => TCodes.SharedBytes;

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TCodes.ChunkBytes;
    }

    // In a: of m − a and m + a that is two.
    private static int Distance
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TCodes.AreTernary || TStored.AreLevels ? 1 : 2;
    }

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        LevelBlock* source = (LevelBlock*)block;
        for (int b = 0; b < blocks; b++, source++)
        {
            ushort* set = factors + FactorBytes / sizeof(ushort) * source->Set;
            set[0] = source->Upper;
            if (TStored.Numbers == 2) set[IBlockFormat.Rows] = source->Lower;
            TCodes.Interleave(source->Codes, b, lanes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TCodes.Codes<TLanes, TVector>(chunk, unit, step);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TCodes.TwoSteps<TLanes, TVector>(chunk, position, unit, pair, out first, out second);
        if (Distance == 1) return;
        first = TLanes.UpperBits(first, 1, 2);
        second = TLanes.UpperBits(second, 1, 2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector sum = TCodes.Dot<TLanes, TVector>(chunk, position, x);
        return Distance == 2 ? TLanes.AddIntegers(sum, sum) : sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Shorts((short)(TStored.Numbers == 1 ? -1 : 1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector first = TLanes.LoadHalves(header, IBlockFormat.FactorExponent);
        return TStored.AreLevels ? Difference<TLanes, TVector>(first, TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent)) : first;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector second = TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent);
        return TStored.AreLevels ? second : Difference<TLanes, TVector>(second, TLanes.LoadHalves(header, IBlockFormat.FactorExponent));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Difference<TLanes, TVector>(TVector a, TVector b) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Add(a, TLanes.Multiply(TLanes.Floats(-1), b));

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        LevelBlock* block = (LevelBlock*)row + chunk;
        float a = (float)BitConverter.UInt16BitsToHalf(block->Upper), m = (float)BitConverter.UInt16BitsToHalf(block->Lower);
        numbers.Factors[0] = TStored.AreLevels ? a - m : a;
        numbers.MinimumFactors[0] = TStored.AreLevels ? m : m - a;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = TStored.Numbers == 1 ? -1 : 1;
        }
        byte* codes = stackalloc byte[TernaryBlock.UnpackedBytes];
        TCodes.Unpack(block->Codes, codes);
        for (int i = 0; i < UniformLayout.BlockLength; i++) numbers.Codes[i] = (byte)(Distance * codes[i]);
    }
}

/// <summary>Whether what is stored are two levels, or a scale with a mean or without one.</summary>
internal interface IStoredLevels
{
    static abstract bool AreLevels { get; }
    static virtual int Numbers => 2;
}

internal readonly struct OneScale : IStoredLevels
{
    public static bool AreLevels => false;
    public static int Numbers => 1;
}

internal readonly struct MeanAndScale : IStoredLevels { public static bool AreLevels => false; }
internal readonly struct LowerAndUpper : IStoredLevels { public static bool AreLevels => true; }
