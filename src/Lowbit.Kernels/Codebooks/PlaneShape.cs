using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// How codes of two bits for any levels lie in interleaved rows. Sixteen rows are a tile; a group of its columns begins with the numbers of the
/// rows in half precision, those of the first class before those of the second, a, b and the mean of each or its four levels; then come the
/// chunks of 64 columns, codes as in <see cref="FormatTQ2_0"/>. In a chunk the columns of the second class stand before the others.
/// </summary>
/// <param name="layout">How the parts lie in the file.</param>
internal readonly struct PlaneShape(CodebookLayout layout)
{
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkBytes = 4 * IBlockFormat.Vector;

    /// <summary>Chunks of a row.</summary>
    public int Chunks { get; } = layout.Blocks;

    /// <summary>Chunks of a group; the last one may have fewer.</summary>
    public int GroupChunks { get; } = layout.Groups == 1 ? layout.Blocks : layout.GroupSize / CodebookLayout.BlockLength;

    /// <summary>1 or 2.</summary>
    public int Classes { get; } = layout.Classes;

    /// <summary>Numbers of a class: 2, or 3 with a mean; 4 levels.</summary>
    public int Numbers { get; } = layout.Levels.Numbers(layout.Bits);

    /// <summary>Whether the numbers are levels.</summary>
    public bool HasTables => Numbers == 4;

    /// <summary>Bytes of the numbers of a group, up to whole cache lines.</summary>
    public int HeaderBytes { get; } = (layout.Numbers * IBlockFormat.Factors + IBlockFormat.Vector - 1) / IBlockFormat.Vector * IBlockFormat.Vector;

    /// <summary>Bytes of a tile.</summary>
    public long TileBytes => (long)((Chunks + GroupChunks - 1) / GroupChunks) * HeaderBytes + (long)Chunks * ChunkBytes;

    /// <summary>Whether a matrix is of this kind: two bits, numbers in half precision, groups of whole chunks.</summary>
    public static bool Fits(CodebookLayout layout) =>
        layout.Bits == 2 && layout.Levels is LevelForm.TwoScales or LevelForm.MeanTwoScales or LevelForm.Table && layout.ScaleFormat == ElementFormat.F16
        && (layout.Groups == 1 || layout.GroupSize % CodebookLayout.BlockLength == 0);
}
