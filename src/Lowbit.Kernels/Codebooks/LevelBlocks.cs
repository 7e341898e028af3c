using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Codebooks;

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
        int count = layout.Blocks, groups = layout.Groups, stored = layout.Numbers, blockBytes = layout.BlockBytes, sharing = ChunksOfFactors;
        bool isTernary = layout.Levels.IsTernary();
        byte* unpacked = stackalloc byte[TernaryBlock.UnpackedBytes];
        UniformBlock* blocks = (UniformBlock*)Scratch.Ensure(ref t_row, (long)count * sizeof(UniformBlock));
        for (int b = 0; b < count; b++)
        {
            long first = ((long)row * groups + (groups == 1 ? 0 : b * CodebookLayout.BlockLength / layout.GroupSize)) * stored;
            blocks[b].Set = b % 4 / sharing;
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
