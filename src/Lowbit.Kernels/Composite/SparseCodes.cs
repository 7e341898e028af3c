using System;

namespace Lowbit.Kernels.Composite;

/// <summary>Few elements of a matrix in half precision, the others zero (compressed sparse rows).</summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="rowStarts">[rows + 1], where the elements of each row begin.</param>
/// <param name="columnIndices">[elements], rising within a row.</param>
/// <param name="values">[elements], numbers that half precision holds exactly.</param>
public sealed class SparseCodes(int rows, int columns, int[] rowStarts, int[] columnIndices, float[] values) : MatrixCodes(rows, columns)
{
    /// <summary>[rows + 1].</summary>
    public int[] RowStarts { get; } = rowStarts;

    /// <summary>[elements].</summary>
    public int[] ColumnIndices { get; } = columnIndices;

    /// <summary>[elements].</summary>
    public float[] Values { get; } = values;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        int i = Array.BinarySearch(ColumnIndices, RowStarts[row], RowStarts[row + 1] - RowStarts[row], column);
        return i < 0 ? 0 : Values[i];
    }

    /// <inheritdoc/>
    public override void Dequantize(Span<float> destination)
    {
        destination[..(Rows * Columns)].Clear();
        for (int r = 0; r < Rows; r++)
            for (int i = RowStarts[r]; i < RowStarts[r + 1]; i++) destination[r * Columns + ColumnIndices[i]] = Values[i];
    }
}
