using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>64 columns of a row of evenly spaced levels.</summary>
internal unsafe struct LevelBlock
{
    /// <summary>Which set of factors of its group of four blocks is that of this one.</summary>
    public int Set;

    /// <summary>The scale or the upper level, a half.</summary>
    public ushort Upper;

    /// <summary>The mean or the lower level, a half; 0 where only a scale is stored.</summary>
    public ushort Lower;

    /// <summary>As <see cref="CodebookLayout"/> stores them.</summary>
    public byte* Codes;
}

/// <summary>The rows of a matrix of evenly spaced levels in half precision, whose groups hold whole blocks.</summary>
internal sealed unsafe class LevelBlocks(string name, CodebookLayout layout, byte* codes, byte* numbers, Tensor source) : BlockRows(name, layout.Rows, layout.Columns)
{
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

    public override int ChunksOfFactors => layout.Groups == 1 || layout.GroupSize % 256 == 0 ? 4 : layout.GroupSize % 128 == 0 ? 2 : 1;

    public override byte* Row(int row, byte* scratch)
    {
        int stored = layout.Numbers, sharing = ChunksOfFactors;
        LevelBlock* block = (LevelBlock*)scratch;
        for (int b = 0; b < layout.Blocks; b++, block++)
        {
            ushort* numbers = _numbers + ((long)row * layout.Groups + (layout.Groups == 1 ? 0 : b * CodebookLayout.BlockLength / layout.GroupSize)) * stored;
            block->Set = b % 4 / sharing;
            block->Upper = numbers[stored - 1];
            block->Lower = stored == 1 ? (ushort)0 : numbers[0];
            block->Codes = _codes + ((long)row * layout.Blocks + b) * layout.BlockBytes;
        }
        return scratch;
    }

    // The shape of the tensor need not be that of the matrix, so all pages go, those yet to come among them.
    public override void Release(int rows) => source.ReleasePages();
}
