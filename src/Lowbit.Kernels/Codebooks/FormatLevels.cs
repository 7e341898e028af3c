using System;
using System.Runtime.CompilerServices;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Evenly spaced levels in interleaved rows: m − a, m + a or m − a, m, m + a with F = a and G = m − a, or F (i − j) where there is no m; any two, l and
/// u, with F = u − l and G = l. The block of the former has a or u in the place of the scale and m or l in that of the zero.
/// </summary>
internal readonly unsafe struct FormatLevels<TCodes, TStored> : IBlockFormat where TCodes : struct, ILevelCodes where TStored : struct, IStoredLevels
{
    public static int BlockLength => UniformLayout.BlockLength;
    public static int BlockBytes => sizeof(UniformBlock);
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
        UniformBlock* source = (UniformBlock*)block;
        for (int b = 0; b < blocks; b++, source++)
        {
            ushort* set = factors + FactorBytes / sizeof(ushort) * source->Set;
            set[0] = source->Scales[0];
            if (TStored.Numbers == 2) set[IBlockFormat.Rows] = source->MinusZeros[0];
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
        UniformBlock* block = (UniformBlock*)row + chunk;
        float a = (float)BitConverter.UInt16BitsToHalf(block->Scales[0]), m = (float)BitConverter.UInt16BitsToHalf(block->MinusZeros[0]);
        numbers.Factors[0] = TStored.AreLevels ? a - m : a;
        numbers.MinimumFactors[0] = TStored.AreLevels ? m : m - a;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = TStored.Numbers == 1 ? -1 : 1;
        }
        for (int i = 0; i < UniformLayout.BlockLength; i++) numbers.Codes[i] = (byte)(Distance * block->Codes[i]);
    }
}

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

    /// <summary>Writes one row's codes of a chunk.</summary>
    /// <param name="codes">[64].</param>
    /// <param name="position">Number of the chunk in its group.</param>
    /// <param name="group">The row's lane of the first vector of the group's first chunk.</param>
    static abstract void Interleave(byte* codes, int position, uint* group);

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

    public static void Interleave(byte* codes, int position, uint* group) =>
        FormatUniform<OneBit, WholeChunks>.InterleaveCodes((uint*)codes, group + ChunkBytes / sizeof(uint) * position);

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

    public static void Interleave(byte* codes, int position, uint* group) =>
        TernaryCodes.Interleave(codes, position, group + ChunkBytes / sizeof(uint) * position, ref *(group - IBlockFormat.Rows));

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

    public static void Interleave(byte* codes, int position, uint* group) =>
        FormatUniform<TwoBits, WholeChunks>.InterleaveCodes((uint*)codes, group + ChunkBytes / sizeof(uint) * position);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        FormatUniform<TwoBits, WholeChunks>.Codes<TLanes, TVector>(chunk, unit, step);
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

/// <summary>The rows of a matrix of evenly spaced levels in half precision, whose groups hold whole blocks.</summary>
internal sealed unsafe class LevelBlocks(string name, CodebookLayout layout, byte* codes, byte* numbers, Tensor source) : BlockRows(name, layout.Rows, layout.Columns)
{
    [ThreadStatic]
    private static NativeBuffer? t_row;

    private readonly byte* _codes = codes;
    private readonly ushort* _numbers = (ushort*)numbers;

    /// <summary>Whether a matrix is of this kind.</summary>
    public static bool Fits(CodebookLayout layout) =>
        (layout.Bits == 1 || layout.Levels.IsTernary())
        && layout is { Classes: 1, ScaleFormat: ElementFormat.F16 } && (layout.Groups == 1 || layout.GroupSize % CodebookLayout.BlockLength == 0);

    /// <summary>Interleaves the rows. Ternary ones take fewer bytes where taking them apart is cheap enough that the memory bounds a product.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, LevelBlocks blocks, LevelForm form) => form switch
    {
        LevelForm.Table => new InterleavedWeights<FormatLevels<BinaryLevels, LowerAndUpper>>(pool, blocks),
        LevelForm.Scale => new InterleavedWeights<FormatLevels<BinaryLevels, OneScale>>(pool, blocks),
        LevelForm.MeanScale => new InterleavedWeights<FormatLevels<BinaryLevels, MeanAndScale>>(pool, blocks),
        LevelForm.Ternary when Lanes512.IsSupported => new InterleavedWeights<FormatLevels<PackedTernaryLevels, OneScale>>(pool, blocks),
        LevelForm.Ternary => new InterleavedWeights<FormatLevels<TernaryLevels, OneScale>>(pool, blocks),
        LevelForm.MeanTernary when Lanes512.IsSupported => new InterleavedWeights<FormatLevels<PackedTernaryLevels, MeanAndScale>>(pool, blocks),
        _ => new InterleavedWeights<FormatLevels<TernaryLevels, MeanAndScale>>(pool, blocks),
    };

    public override int ChunksOfFactors => UniformBlock.Sharing(layout.GroupSize, layout.Groups);

    public override byte* Row(int row)
    {
        int count = layout.Blocks, stored = layout.Numbers, blockBytes = layout.BlockBytes;
        bool isTernary = layout.Levels.IsTernary();
        byte* unpacked = stackalloc byte[TernaryBlock.UnpackedBytes];
        UniformBlock* blocks = (UniformBlock*)Scratch.Ensure(ref t_row, (long)count * sizeof(UniformBlock));
        for (int b = 0; b < count; b++)
        {
            long first = ((long)row * layout.Groups + (layout.Groups == 1 ? 0 : b * CodebookLayout.BlockLength / layout.GroupSize)) * stored;
            blocks[b].Set = b % 4 / ChunksOfFactors;
            blocks[b].Scales[0] = _numbers[first + stored - 1];
            blocks[b].MinusZeros[0] = stored == 1 ? (ushort)0 : _numbers[first];
            byte* block = _codes + ((long)row * count + b) * blockBytes;
            if (isTernary)
            {
                TernaryBlock.Unpack(block, unpacked);
                new ReadOnlySpan<byte>(unpacked, CodebookLayout.BlockLength).CopyTo(new Span<byte>(blocks[b].Codes, CodebookLayout.BlockLength));
            }
            else
            {
                CodeBlock.Unpack(block, 1, blocks[b].Codes);
            }
        }
        return (byte*)blocks;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => source.ReleasePages();
}
