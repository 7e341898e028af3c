using System;
using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Codebooks;

/// <summary>How the codes 0 and 1 or 0 to 2 of evenly spaced levels lie.</summary>
internal unsafe interface ILevelCodes
{
    /// <summary>Whether there are three levels, and not two.</summary>
    static abstract bool AreTernary { get; }

    /// <summary>Bytes of a chunk.</summary>
    static abstract int ChunkBytes { get; }

    /// <inheritdoc cref="IBlockFormat.SharedBytes"/>
    static virtual int SharedBytes => 0;

    /// <inheritdoc cref="IBlockFormat.StepsArePaired"/>
    static abstract bool ArePaired { get; }

    /// <summary>Turns a stored block into bytes.</summary>
    /// <param name="block">As <see cref="CodebookLayout"/> has it.</param>
    /// <param name="codes">[<see cref="TernaryBlock.UnpackedBytes"/>], of which 64 are codes.</param>
    static abstract void Unpack(byte* block, byte* codes);

    /// <summary>Writes one row's codes of a chunk.</summary>
    /// <param name="block">As <see cref="CodebookLayout"/> has it.</param>
    /// <param name="position">Number of the chunk in its group.</param>
    /// <param name="group">The row's lane of the first vector of the group's first chunk.</param>
    static abstract void Interleave(byte* block, int position, uint* group);

    /// <inheritdoc cref="IBlockFormat.Codes"/>
    static virtual TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <inheritdoc cref="IBlockFormat.TwoSteps"/>
    static virtual void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();

    /// <inheritdoc cref="IBlockFormat.Dot"/>
    static virtual TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct => throw new NotSupportedException();
}

/// <summary>Two levels, in one bit: <see cref="OneBitCodes"/>.</summary>
internal readonly unsafe struct BinaryLevels : ILevelCodes
{
    public static bool AreTernary => false;
    public static bool ArePaired => true;

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => FormatUniform<OneBit, WholeChunks>.ChunkBytes;
    }

    public static void Unpack(byte* block, byte* codes) => CodeBlock.Unpack(block, 1, codes);

    public static void Interleave(byte* block, int position, uint* group) =>
        FormatUniform<OneBit, WholeChunks>.InterleaveCodes(block, group + ChunkBytes / sizeof(uint) * position);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        first = FormatUniform<OneBit, WholeChunks>.Codes<TLanes, TVector>(chunk, unit, 2 * pair);
        second = FormatUniform<OneBit, WholeChunks>.Codes<TLanes, TVector>(chunk, unit, 2 * pair + 1);
    }

    // The steps of a half from the lowest bit on.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector sum = default;
        for (int half = 0; half < 2; half++)
        {
            TVector codes = TLanes.Load(chunk + IBlockFormat.Vector * half);
            for (int step = 0; step < 8; step += 2, x += 8)
            {
                sum = TLanes.AddProducts(sum, TLanes.And(codes, TLanes.Bytes(1)), TLanes.Broadcast(x));
                sum = TLanes.AddProducts(sum, TLanes.Bits(codes, 1, 1), TLanes.Broadcast(x + 4));
                codes = TLanes.ShiftShorts(codes, 2);
            }
        }
        return TLanes.SumsAreWide ? sum : TLanes.Dot(sum, TLanes.Shorts(1));
    }
}

/// <summary>Three levels, in 1.625 bits: <see cref="TernaryCodes"/>.</summary>
internal readonly unsafe struct PackedTernaryLevels : ILevelCodes
{
    public static bool AreTernary => true;
    public static bool ArePaired => true;
    public static int SharedBytes => IBlockFormat.Vector;

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TernaryCodes.ChunkBytes;
    }

    public static void Unpack(byte* block, byte* codes) => TernaryBlock.Unpack(block, codes);

    public static void Interleave(byte* block, int position, uint* group)
    {
        byte* codes = stackalloc byte[TernaryBlock.UnpackedBytes];
        Unpack(block, codes);
        TernaryCodes.Interleave(codes, position, group + ChunkBytes / sizeof(uint) * position, ref *(group - IBlockFormat.Rows));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct => TernaryCodes.Load<TLanes, TVector>(chunk, position, 2 * unit + pair, out first, out second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TernaryCodes.Dot<TLanes, TVector>(chunk, position, x);
}

/// <summary>Three levels, in two bits, as in <see cref="FormatTQ2_0"/>.</summary>
internal readonly unsafe struct TernaryLevels : ILevelCodes
{
    public static bool AreTernary => true;
    public static bool ArePaired => false;

    public static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => FormatUniform<TwoBits, WholeChunks>.ChunkBytes;
    }

    public static void Unpack(byte* block, byte* codes) => TernaryBlock.Unpack(block, codes);

    public static void Interleave(byte* block, int position, uint* group)
    {
        byte* codes = stackalloc byte[TernaryBlock.UnpackedBytes];
        Unpack(block, codes);
        uint* words = (uint*)codes, lanes = group + ChunkBytes / sizeof(uint) * position;
        for (int step = 0; step < 4; step++)
            lanes[IBlockFormat.Rows * step] = words[step] | words[4 + step] << 2 | words[8 + step] << 4 | words[12 + step] << 6;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatUniform<TwoBits, WholeChunks>.Codes<TLanes, TVector>(chunk, unit, step);
}
