using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The columns of a matrix of integers by how far these spread, and for each 64 of them the form that takes the fewest bits with what it leaves
/// out. Both are judged by some of the rows.
/// </summary>
internal sealed unsafe class ColumnOrder
{
    private const int MostRows = 256; // that are looked at
    private const int BitsOfEntry = 72; // 16, what is empty, and the time of a gather: beside chunks that are wider
    private const int MostColumns = 0x8000 - 64; // that entries can name

    private readonly int[] _columns;

    /// <summary>Looks at the integers.</summary>
    /// <param name="pool">Threads that share the columns.</param>
    /// <param name="values">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    public ColumnOrder(WorkerPool pool, sbyte* values, int rows, int columns)
    {
        Width = columns;
        int chunks = (columns + ChunkForms.Columns - 1) / ChunkForms.Columns, every = (rows + MostRows - 1) / MostRows;
        _columns = new int[chunks * ChunkForms.Columns];
        long[] keys = new long[columns];
        for (int r = 0; r < rows; r += every)
        {
            sbyte* row = values + (long)r * columns;
            for (int c = 0; c < columns; c++) keys[c] += row[c] * row[c];
        }
        for (int c = 0; c < columns; c++) keys[c] = -keys[c] << 32 | (uint)c; // at most 256 · 128²
        Array.Sort(keys);
        for (int i = 0; i < _columns.Length; i++) _columns[i] = i < columns ? (int)keys[i] : -1;

        ChunkForm[] forms = new ChunkForm[chunks];
        fixed (ChunkForm* form = forms)
        {
            Work work = new() { Order = this, Values = values, Rows = rows, Every = every, Forms = form };
            pool.Run(ref work, chunks, 1);
        }
        // Chunks of a form side by side.
        int[] order = [.. _columns];
        List<ChunkRun> runs = [];
        int next = 0;
        for (int form = ChunkForms.Count - 1; form >= 0; form--)
        {
            int first = next;
            for (int c = 0; c < chunks; c++)
            {
                if (forms[c] == (ChunkForm)form) order.AsSpan(ChunkForms.Columns * c, ChunkForms.Columns).CopyTo(_columns.AsSpan(ChunkForms.Columns * next++));
            }
            if (next > first) runs.Add(new ChunkRun((ChunkForm)form, first, next - first));
        }
        Runs = [.. runs];
    }

    /// <summary>Columns of the matrix.</summary>
    public int Width { get; }

    /// <summary>Columns of all chunks.</summary>
    public int Padded => _columns.Length;

    /// <summary>The chunks.</summary>
    public ImmutableArray<ChunkRun> Runs { get; }

    /// <summary>[<see cref="Padded"/>] the matrix's column of each place; −1 where there is none.</summary>
    public ReadOnlySpan<int> Columns => _columns;

    /// <summary>Puts a row in order.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="row">The row.</param>
    /// <param name="destination">[<see cref="Padded"/>], overwritten.</param>
    public void Arrange(sbyte* values, int row, sbyte* destination)
    {
        values += (long)row * Width;
        for (int i = 0; i < _columns.Length; i++) destination[i] = _columns[i] < 0 ? (sbyte)0 : values[_columns[i]];
    }

    private struct Work : IParallelWork
    {
        public ColumnOrder Order;
        public sbyte* Values;
        public int Rows, Every;
        public ChunkForm* Forms;

        public readonly void Execute(int start, int end)
        {
            for (int chunk = start; chunk < end; chunk++) Forms[chunk] = Choose(Order._columns.AsSpan(ChunkForms.Columns * chunk, ChunkForms.Columns));
        }

        private readonly ChunkForm Choose(ReadOnlySpan<int> columns)
        {
            if (Order.Padded > MostColumns) return ChunkForm.Bits8; // which leaves nothing out
            sbyte* integers = stackalloc sbyte[ChunkForms.Columns], nearest = stackalloc sbyte[ChunkForms.Columns];
            long* bits = stackalloc long[ChunkForms.Count];
            for (int form = 0; form < ChunkForms.Count; form++) bits[form] = 0;
            for (int r = 0; r < Rows; r += Every)
            {
                sbyte* row = Values + (long)r * Order.Width;
                for (int i = 0; i < ChunkForms.Columns; i++) integers[i] = columns[i] < 0 ? (sbyte)0 : row[columns[i]];
                for (int form = 0; form < ChunkForms.Count; form++)
                {
                    bits[form] += ChunkForms.Vectors((ChunkForm)form) * ChunkForms.Columns / 2;
                    if (form == (int)ChunkForm.Bits8) continue;
                    ChunkForms.Nearest((ChunkForm)form, integers, nearest);
                    bits[form] += BitsOfEntry * ChunkForms.Distance(integers, nearest);
                }
            }
            int best = 0;
            for (int form = 1; form < ChunkForms.Count; form++)
                if (bits[form] < bits[best]) best = form;
            return (ChunkForm)best;
        }
    }
}
