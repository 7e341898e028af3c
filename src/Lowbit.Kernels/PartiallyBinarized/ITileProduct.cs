namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Computes what <see cref="IntegerProduct"/> defines, to the last bit, from <see cref="RowTiles"/>.</summary>
internal unsafe interface ITileProduct
{
    /// <summary>Multiplies the rows of a tile with one token.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="firstRow">Its first row.</param>
    /// <param name="x">The token, with tables.</param>
    /// <param name="results">[16].</param>
    static abstract void Run(in PackedRows rows, RowTile tile, int firstRow, in RoundedToken x, float* results);
}
