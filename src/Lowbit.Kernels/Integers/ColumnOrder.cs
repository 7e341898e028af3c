using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Lowbit.Kernels.Integers;

/// <summary>Neighbouring chunks of one form.</summary>
/// <param name="Form">The form.</param>
/// <param name="Count">Their number.</param>
internal readonly record struct ChunkRun(ChunkForm Form, int Count);

/// <summary>
/// The columns of a matrix of integers by how far these spread, and for each chunk of them the form that takes the fewest bits with what it leaves
/// out. Both are known from the classes of rows and columns, before the integers are read.
/// </summary>
internal sealed class ColumnOrder
{
    private const int BitsOfEntry = 16; // 9, those that jump or fill up, and their time: beside chunks that are wider

    private readonly int[] _columns; // pinned

    /// <summary>Finds the order and the forms.</summary>
    /// <param name="rowClasses">[rows].</param>
    /// <param name="columnClasses">[columns].</param>
    public ColumnOrder(ReadOnlySpan<byte> rowClasses, ReadOnlySpan<byte> columnClasses)
    {
        int[] sorted = new int[columnClasses.Length];
        for (int k = SpreadTables.Classes - 1, next = 0; k >= 0; k--)
            for (int c = 0; c < columnClasses.Length; c++)
                if (columnClasses[c] == k) sorted[next++] = c;

        double[] entries = Entries(rowClasses);
        List<int>[] firsts = new List<int>[ChunkForms.Count]; // places in sorted, of each form
        for (int form = 0; form < ChunkForms.Count; form++) firsts[form] = [];
        for (int first = 0; first < sorted.Length;)
        {
            ChunkForm form = Choose(sorted.AsSpan(first), columnClasses, entries);
            firsts[(int)form].Add(first);
            first += ChunkForms.Columns(form);
        }
        List<int> columns = [];
        List<ChunkRun> runs = [];
        for (int form = ChunkForms.Count - 1; form >= 0; form--)
        {
            int width = ChunkForms.Columns((ChunkForm)form);
            foreach (int first in firsts[form])
                for (int i = first; i < first + width; i++) columns.Add(i < sorted.Length ? sorted[i] : sorted.Length);
            if (firsts[form].Count > 0) runs.Add(new ChunkRun((ChunkForm)form, firsts[form].Count));
        }
        Width = sorted.Length;
        _columns = GC.AllocateUninitializedArray<int>(columns.Count, pinned: true);
        columns.CopyTo(_columns);
        Runs = [.. runs];
    }

    private ColumnOrder(int columns)
    {
        int width = ChunkForms.Columns(ChunkForm.Bits8), chunks = (columns + width - 1) / width;
        Width = columns;
        _columns = GC.AllocateUninitializedArray<int>(chunks * width, pinned: true);
        for (int i = 0; i < _columns.Length; i++) _columns[i] = Math.Min(i, columns);
        Runs = [new ChunkRun(ChunkForm.Bits8, chunks)];
    }

    /// <summary>Columns of the matrix.</summary>
    public int Width { get; }

    /// <summary>Columns of all chunks.</summary>
    public int Padded => _columns.Length;

    /// <summary>The chunks.</summary>
    public ImmutableArray<ChunkRun> Runs { get; }

    /// <summary>[<see cref="Padded"/>] the matrix's column of each place; <see cref="Width"/> where there is none.</summary>
    public ReadOnlySpan<int> Columns => _columns;

    /// <summary>The same where it does not move.</summary>
    public unsafe int* Pointer => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_columns, 0);

    /// <summary>The columns as they are, in bytes, which leave nothing out.</summary>
    public static ColumnOrder InBytes(int columns) => new(columns);

    // The form for the chunk that begins with the first of some columns.
    private static ChunkForm Choose(ReadOnlySpan<int> sorted, ReadOnlySpan<byte> columnClasses, double[] entries)
    {
        ChunkForm best = default;
        double least = double.PositiveInfinity;
        for (ChunkForm form = 0; form < (ChunkForm)ChunkForms.Count; form++)
        {
            int columns = Math.Min(sorted.Length, ChunkForms.Columns(form));
            double bits = ChunkForms.Bits(form);
            foreach (int c in sorted[..columns]) bits += BitsOfEntry * entries[SpreadTables.Classes * (int)form + columnClasses[c]];
            if (bits / columns >= least) continue;
            least = bits / columns;
            best = form;
        }
        return best;
    }

    // [forms, classes of columns] entries that a weight has on average of the rows.
    private static double[] Entries(ReadOnlySpan<byte> rowClasses)
    {
        int[] rows = new int[SpreadTables.Classes];
        foreach (byte k in rowClasses) rows[k]++;
        double[] entries = new double[ChunkForms.Count * SpreadTables.Classes];
        for (int form = 0; form < ChunkForms.Count; form++)
            for (int column = 0; column < SpreadTables.Classes; column++)
            {
                double sum = 0;
                for (int row = 0; row < SpreadTables.Classes; row++)
                    if (rows[row] > 0) sum += rows[row] * FormLoss.Entries((ChunkForm)form, SpreadModel.Cross(row, column));
                entries[SpreadTables.Classes * form + column] = sum / rowClasses.Length;
            }
        return entries;
    }
}
