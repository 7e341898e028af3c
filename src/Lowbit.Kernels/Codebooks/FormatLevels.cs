using System;
using System.Runtime.CompilerServices;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Evenly spaced levels in interleaved rows: m − a, m + a or m − a, m, m + a with F = 2a or a and G = m − a; any two, l and u, with F = u − l
/// and G = l. Codes of one bit lie as in <see cref="FormatUniform{TWidth, TGroups}"/>, ternary ones as <see cref="TernaryCodes"/> says; the block of
/// the former has a or u in the place of the scale and m or l in that of the zero.
/// </summary>
internal readonly unsafe struct FormatLevels<TWidth, TStored> : IBlockFormat where TWidth : struct, ICodeWidth where TStored : struct, IStoredLevels
{
    public static int BlockLength => FormatUniform<TWidth, WholeChunks>.BlockLength;
    public static int BlockBytes => FormatUniform<TWidth, WholeChunks>.BlockBytes;
    public static int GroupChunks => 4;
    public static int CodeBits => TWidth.Bits;
    public static bool FactorsOfHalves => false;
    public static bool MinimumHasFactor => true;
    public static bool StepsArePaired => TWidth.Bits == 2;
    public static int FactorBytes => TStored.Numbers * IBlockFormat.Factors;
    public static int SharedBytes => TWidth.Bits == 2 ? IBlockFormat.Vector : 0;
    public static int ChunkBytes => TWidth.Bits == 2 ? TernaryCodes.ChunkBytes : FormatUniform<TWidth, WholeChunks>.ChunkBytes;

    public static void Interleave(byte* block, int blocks, ushort* factors, uint* lanes)
    {
        UniformBlock* source = (UniformBlock*)block;
        for (int b = 0; b < blocks; b++, source++)
        {
            ushort* set = factors + FactorBytes / sizeof(ushort) * source->Set;
            set[0] = source->Scales[0];
            if (TStored.Numbers == 2) set[IBlockFormat.Rows] = source->MinusZeros[0];
            uint* chunk = lanes + ChunkBytes / sizeof(uint) * b;
            if (TWidth.Bits == 2) TernaryCodes.Interleave(source->Codes, b, chunk, ref *(lanes - IBlockFormat.Rows));
            else FormatUniform<TWidth, WholeChunks>.InterleaveCodes((uint*)source->Codes, chunk);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Codes<TLanes, TVector>(byte* chunk, int unit, int step) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Bits(TLanes.Load(chunk + IBlockFormat.Vector * (unit / 2)), unit % 2 * 4 + step, 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TwoSteps<TLanes, TVector>(byte* chunk, int position, int unit, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct => TernaryCodes.Load<TLanes, TVector>(chunk, position, 2 * unit + pair, out first, out second);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TernaryCodes.Dot<TLanes, TVector>(chunk, position, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Minimum<TLanes, TVector>(byte* chunk, int half) where TLanes : struct, ILanes<TVector> where TVector : struct => TLanes.Shorts(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Factor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector first = TLanes.LoadHalves(header, IBlockFormat.FactorExponent);
        if (TStored.AreLevels) return TLanes.Add(first, TLanes.Multiply(TLanes.Floats(-1), TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent)));
        return TWidth.Bits == 1 ? TLanes.Add(first, first) : first;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector MinimumFactor<TLanes, TVector>(byte* header, int half) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        if (TStored.AreLevels) return TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent);
        TVector negative = TLanes.Multiply(TLanes.Floats(-1), TLanes.LoadHalves(header, IBlockFormat.FactorExponent));
        return TStored.Numbers == 1 ? negative : TLanes.Add(TLanes.LoadHalves(header + IBlockFormat.Factors, IBlockFormat.FactorExponent), negative);
    }

    public static void Read(byte* row, int chunk, int blocks, ref ChunkNumbers numbers)
    {
        UniformBlock* block = (UniformBlock*)row + chunk;
        float a = (float)BitConverter.UInt16BitsToHalf(block->Scales[0]), m = (float)BitConverter.UInt16BitsToHalf(block->MinusZeros[0]);
        numbers.Factors[0] = TStored.AreLevels ? a - m : TWidth.Bits == 1 ? a + a : a;
        numbers.MinimumFactors[0] = TStored.AreLevels ? m : m - a;
        for (int unit = 0; unit < 4; unit++)
        {
            numbers.Scales[unit] = 1;
            numbers.Minimums[unit] = 1;
        }
        for (int i = 0; i < UniformLayout.BlockLength; i++) numbers.Codes[i] = block->Codes[i];
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

    /// <summary>Interleaves the rows.</summary>
    public static InterleavedWeights Interleave(WorkerPool pool, LevelBlocks blocks, LevelForm form) => form switch
    {
        LevelForm.Table => new InterleavedWeights<FormatLevels<OneBit, LowerAndUpper>>(pool, blocks),
        LevelForm.Scale => new InterleavedWeights<FormatLevels<OneBit, OneScale>>(pool, blocks),
        LevelForm.MeanScale => new InterleavedWeights<FormatLevels<OneBit, MeanAndScale>>(pool, blocks),
        LevelForm.Ternary => new InterleavedWeights<FormatLevels<TwoBits, OneScale>>(pool, blocks),
        _ => new InterleavedWeights<FormatLevels<TwoBits, MeanAndScale>>(pool, blocks),
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
