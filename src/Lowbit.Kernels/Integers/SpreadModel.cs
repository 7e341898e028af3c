using System;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// What the coder of an integer matrix expects: each row and each column has a class, and the integer where they cross
/// is drawn from the distribution of class row + column − 24 (see <see cref="SpreadTables"/>).
/// </summary>
/// <param name="rowClasses">[rows], below <see cref="SpreadTables.Classes"/>; 24 is the middle.</param>
/// <param name="columnClasses">[columns], below <see cref="SpreadTables.Classes"/>.</param>
internal sealed class SpreadModel(byte[] rowClasses, byte[] columnClasses)
{
    private const int Middle = 24;

    /// <summary>[rows].</summary>
    public byte[] RowClasses { get; } = rowClasses;

    /// <summary>[columns].</summary>
    public byte[] ColumnClasses { get; } = columnClasses;

    /// <summary>Class of the integer where a row and a column cross.</summary>
    public static int Cross(int rowClass, int columnClass) => Math.Clamp(rowClass + columnClass - Middle, 0, SpreadTables.Classes - 1);

    /// <summary>Finds the classes that take the fewest bits: those of columns, of rows, and once more of columns.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="bits">Expected bits of the coded integers.</param>
    public static SpreadModel Fit(ReadOnlySpan<sbyte> values, int rows, int columns, out double bits)
    {
        var model = new SpreadModel(new byte[rows], new byte[columns]);
        Array.Fill(model.RowClasses, (byte)Middle);
        model.FitColumns(values, out _);
        model.FitRows(values);
        model.FitColumns(values, out bits);
        return model;
    }

    private void FitColumns(ReadOnlySpan<sbyte> values, out double bits)
    {
        const int Classes = SpreadTables.Classes;
        int columns = ColumnClasses.Length;
        float[] costs = new float[columns * Classes]; // of each column in each class
        for (int r = 0; r < RowClasses.Length; r++)
        {
            ReadOnlySpan<sbyte> row = values.Slice(r * columns, columns);
            for (int k = 0; k < Classes; k++)
            {
                ReadOnlySpan<float> cost = SpreadTables.Bits(Cross(RowClasses[r], k));
                Span<float> sums = costs.AsSpan(k * columns, columns);
                for (int c = 0; c < columns; c++) sums[c] += cost[row[c] + 128];
            }
        }
        bits = 0;
        for (int c = 0; c < columns; c++)
        {
            int best = 0;
            for (int k = 1; k < Classes; k++)
                if (costs[k * columns + c] < costs[best * columns + c]) best = k;
            ColumnClasses[c] = (byte)best;
            bits += costs[best * columns + c];
        }
    }

    private void FitRows(ReadOnlySpan<sbyte> values)
    {
        int columns = ColumnClasses.Length;
        for (int r = 0; r < RowClasses.Length; r++)
        {
            ReadOnlySpan<sbyte> row = values.Slice(r * columns, columns);
            double least = double.PositiveInfinity;
            for (int k = 0; k < SpreadTables.Classes; k++)
            {
                double cost = 0;
                for (int c = 0; c < columns; c++) cost += SpreadTables.Bits(Cross(k, ColumnClasses[c]))[row[c] + 128];
                if (cost >= least) continue;
                least = cost;
                RowClasses[r] = (byte)k;
            }
        }
    }
}
