using System;
using System.Numerics;

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
    private const int ColumnsAtOnce = 64; // which are turned into lines

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

    private void FitRows(ReadOnlySpan<sbyte> values)
    {
        var line = new LineCosts();
        for (int r = 0; r < RowClasses.Length; r++) RowClasses[r] = line.Best(values.Slice(r * ColumnClasses.Length, ColumnClasses.Length), ColumnClasses, out _);
    }

    private void FitColumns(ReadOnlySpan<sbyte> values, out double bits)
    {
        int rows = RowClasses.Length, columns = ColumnClasses.Length;
        var line = new LineCosts();
        sbyte[] lines = new sbyte[ColumnsAtOnce * rows];
        bits = 0;
        for (int first = 0; first < columns; first += ColumnsAtOnce)
        {
            int count = Math.Min(ColumnsAtOnce, columns - first);
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<sbyte> part = values.Slice(r * columns + first, count);
                for (int c = 0; c < part.Length; c++) lines[c * rows + r] = part[c];
            }
            for (int c = 0; c < count; c++)
            {
                ColumnClasses[first + c] = line.Best(lines.AsSpan(c * rows, rows), RowClasses, out float cost);
                bits += cost;
            }
        }
    }

    // Bits of a row or a column in each class. An integer that comes again where the other side has the same class is looked up once.
    private sealed class LineCosts
    {
        private readonly int[] _counts = new int[SpreadTables.Classes * 256]; // of an integer and a class
        private readonly int[] _found = new int[SpreadTables.Classes * 256];
        private readonly float[] _costs = new float[SpreadTables.Classes];

        public byte Best(ReadOnlySpan<sbyte> integers, ReadOnlySpan<byte> crossing, out float bits)
        {
            int found = 0;
            for (int i = 0; i < integers.Length; i++)
            {
                int place = crossing[i] * 256 + integers[i] + 128;
                if (_counts[place]++ == 0) _found[found++] = place;
            }
            Array.Clear(_costs);
            foreach (int place in _found.AsSpan(0, found))
            {
                ReadOnlySpan<float> cost = SpreadTables.Bits(place % 256, place / 256);
                var count = new Vector<float>(_counts[place]);
                for (int k = 0; k < _costs.Length; k += Vector<float>.Count)
                    (new Vector<float>(_costs, k) + count * new Vector<float>(cost[k..])).CopyTo(_costs, k);
                _counts[place] = 0;
            }
            int best = 0;
            for (int k = 1; k < _costs.Length; k++)
                if (_costs[k] < _costs[best]) best = k;
            bits = _costs[best];
            return (byte)best;
        }
    }
}
