using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// How codes of two bits for any levels lie in interleaved rows. Sixteen rows are a tile; in it each group of its columns begins with the numbers
/// of the rows in half precision, those of the first class before those of the second, a, b and the mean of each or its four levels; then come
/// its pieces in vectors of 16 columns: byte i of a row holds the codes of columns i, 4 + i, 8 + i and 12 + i, from the lowest bits up. In a piece
/// the columns of the second class stand before the others.
/// </summary>
/// <param name="layout">How the parts lie in the file.</param>
internal readonly struct PlaneShape(CodebookLayout layout)
{
    /// <summary>1 or 2.</summary>
    public int Classes { get; } = layout.Classes;

    /// <summary>Numbers of a class: 2, or 3 with a mean; 4 levels.</summary>
    public int Numbers { get; } = layout.Levels.Numbers(layout.Bits);

    /// <summary>Whether the numbers are levels.</summary>
    public bool HasTables => Numbers == 4;

    /// <summary>Bytes of the numbers of a group, up to whole cache lines.</summary>
    public int HeaderBytes { get; } = (layout.Numbers * IBlockFormat.Factors + IBlockFormat.Vector - 1) / IBlockFormat.Vector * IBlockFormat.Vector;

    /// <summary>Bytes of a tile.</summary>
    public long TileBytes(ReadOnlySpan<PlanePiece> pieces)
    {
        long bytes = (pieces[^1].Group + 1L) * HeaderBytes;
        foreach (PlanePiece piece in pieces) bytes += piece.Vectors * IBlockFormat.Vector;
        return bytes;
    }

    /// <summary>Whether a matrix is of this kind: two bits, numbers in half precision.</summary>
    public static bool Fits(CodebookLayout layout) =>
        layout.Bits == 2 && layout.Levels is LevelForm.TwoScales or LevelForm.MeanTwoScales or LevelForm.Table && layout.ScaleFormat == ElementFormat.F16;
}
