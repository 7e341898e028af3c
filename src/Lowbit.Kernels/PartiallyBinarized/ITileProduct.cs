namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Computes what <see cref="EightBitProduct"/> defines, to the last bit, from <see cref="RowTiles"/>.</summary>
internal unsafe interface ITileProduct
{
    /// <summary>Whether it looks sums up in <see cref="SumTables"/>.</summary>
    static abstract bool TakesTables { get; }

    /// <summary>Multiplies the rows of a tile with one token.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="record">The tile's first record.</param>
    /// <param name="firstRow">First row of the tile.</param>
    /// <param name="x">[words · 64] activations.</param>
    /// <param name="tables">[words] tables of the activations, if they are taken.</param>
    /// <param name="scales">[words] scales of the activations.</param>
    /// <param name="sums">[words] sums of the activations.</param>
    /// <param name="results">[8].</param>
    static abstract void Run(in PackedRows rows, byte* record, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results);
}
