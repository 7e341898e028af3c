using System;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>Neighbouring chunks of one form.</summary>
/// <param name="Form">The form.</param>
/// <param name="First">The first chunk.</param>
/// <param name="Count">Their number.</param>
internal readonly record struct ChunkRun(ChunkForm Form, int First, int Count);

/// <summary>
/// The integers of a matrix as products read them: tiles of sixteen rows, in a tile the chunks of 64 columns in the forms that
/// <see cref="ColumnOrder"/> has found, the same for all tiles, and then what the forms leave out: steps of sixteen entries of 16 bits, one for
/// each row. An entry is a column and, in bit 15, a sign: the integer there is larger by one, or smaller; a difference of more than one is there
/// as often. <see cref="NoColumn"/> stands where a row has no more. Rows with as many entries are in a tile, whatever their places in the matrix.
/// </summary>
internal sealed unsafe class IntegerTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = IBlockFormat.Rows;

    /// <summary>Bytes of a step of entries.</summary>
    public const int EntryBytes = Rows * sizeof(ushort);

    /// <summary>Bit of an entry that makes an integer smaller.</summary>
    public const ushort Negative = 0x8000;

    private readonly object[] _owners; // of the memory
    private readonly byte* _data;
    private readonly long[] _starts;
    private readonly int* _rows, _places;
    private readonly int _rowCount;

    /// <summary>Makes the tiles.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="values">[rows, columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    public IntegerTiles(WorkerPool pool, sbyte* values, int rows, int columns)
    {
        _rowCount = rows;
        Columns = new ColumnOrder(pool, values, rows, columns);
        foreach (ChunkRun run in Columns.Runs) CodeBytes += run.Count * ChunkForms.Vectors(run.Form) * IBlockFormat.Vector;
        Count = (rows + Rows - 1) / Rows;
        NativeBuffer places = new((long)(Count * Rows + rows) * sizeof(int));
        _rows = (int*)places.Pointer;
        _places = _rows + Count * Rows;
        using NativeBuffer entries = new((long)rows * sizeof(long));
        Work work = new() { Tiles = this, Values = values, Entries = (long*)entries.Pointer };
        pool.Run(ref work, rows, 16);
        entries.Span<long>(0, rows).Sort();
        new Span<int>(_rows, Count * Rows).Fill(-1);
        _starts = new long[Count + 1];
        for (int i = 0; i < rows; i++)
        {
            int row = (int)(work.Entries[i] & int.MaxValue);
            _rows[i] = row;
            _places[row] = i;
            // Sorted, so the last row of a tile has the most; an even number of steps is whole vectors.
            long steps = (work.Entries[i] >> 31) + 1 & ~1L;
            _starts[i / Rows + 1] = CodeBytes + steps * EntryBytes;
        }
        for (int tile = 0; tile < Count; tile++) _starts[tile + 1] += _starts[tile];
        _data = LargePages.Take(_starts[Count], out object data);
        _owners = [places, data];
        work.Fill = true;
        pool.Run(ref work, Count, 1);
    }

    /// <summary>Number of tiles.</summary>
    public int Count { get; }

    /// <summary>The order of the columns and the forms of their chunks.</summary>
    public ColumnOrder Columns { get; }

    /// <summary>Bytes of the chunks of a tile; its entries follow.</summary>
    public int CodeBytes { get; }

    /// <summary>Whether 32 bits hold the products of all rows with tokens of <see cref="ScaledTokens"/>.</summary>
    public bool FitIntegers { get; private set; } = true;

    /// <summary>Bytes of all tiles.</summary>
    public long Bytes => _starts[Count];

    /// <summary>The first column beyond all.</summary>
    public ushort NoColumn => (ushort)Columns.Padded;

    /// <summary>A tile.</summary>
    public byte* this[int tile] => _data + _starts[tile];

    /// <summary>Steps of entries of a tile.</summary>
    public int Steps(int tile) => (int)((_starts[tile + 1] - _starts[tile] - CodeBytes) / EntryBytes);

    /// <summary>[16] rows of the matrix that are in a tile; those beyond the last are −1 and in the end.</summary>
    public int* RowsOf(int tile) => _rows + tile * Rows;

    /// <summary>The integers of a row.</summary>
    /// <param name="row">The row.</param>
    /// <param name="integers">[<see cref="ColumnOrder.Padded"/>] in the order of <see cref="Columns"/>, overwritten.</param>
    public void Unpack(int row, sbyte* integers)
    {
        int tile = _places[row] / Rows, lane = _places[row] % Rows;
        byte* chunk = this[tile] + 4 * lane;
        foreach (ChunkRun run in Columns.Runs)
        {
            for (int c = run.First; c < run.First + run.Count; c++, chunk += ChunkForms.Vectors(run.Form) * IBlockFormat.Vector)
                ChunkForms.Unpack(run.Form, chunk, integers + ChunkForms.Columns * c);
        }
        ushort* entries = (ushort*)(this[tile] + CodeBytes) + lane;
        for (int step = Steps(tile); step > 0 && *entries != NoColumn; step--, entries += Rows)
            integers[*entries & ~Negative] += (sbyte)((*entries & Negative) != 0 ? -1 : 1);
    }

    // Counts the entries of rows, then, once there is memory, fills tiles.
    private struct Work : IParallelWork
    {
        [ThreadStatic]
        private static NativeBuffer? t_row;

        public IntegerTiles Tiles;
        public sbyte* Values;
        public long* Entries; // of a row, in the upper 33 bits, and its number
        public bool Fill;

        public readonly void Execute(int start, int end)
        {
            sbyte* row = (sbyte*)Scratch.Ensure(ref t_row, Tiles.Columns.Padded);
            sbyte* nearest = stackalloc sbyte[ChunkForms.Columns];
            for (int i = start; i < end; i++)
            {
                if (Fill) FillTile(i, row, nearest);
                else
                {
                    Tiles.Columns.Arrange(Values, i, row);
                    if (!Fits(row)) Tiles.FitIntegers = false;
                    Entries[i] = CountEntries(row, nearest) << 31 | (uint)i;
                }
            }
        }

        private readonly bool Fits(sbyte* row)
        {
            if (Tiles.Columns.Padded <= int.MaxValue / (128 * ScaledTokens.Largest)) return true;
            long size = 0;
            for (int c = 0; c < Tiles.Columns.Padded; c++) size += Math.Abs((int)row[c]);
            return size * ScaledTokens.Largest <= int.MaxValue;
        }

        private readonly long CountEntries(sbyte* row, sbyte* nearest)
        {
            long entries = 0;
            foreach (ChunkRun run in Tiles.Columns.Runs)
            {
                if (run.Form == ChunkForm.Bits8) continue;
                for (int c = run.First; c < run.First + run.Count; c++)
                {
                    ChunkForms.Nearest(run.Form, row + ChunkForms.Columns * c, nearest);
                    entries += ChunkForms.Distance(row + ChunkForms.Columns * c, nearest);
                }
            }
            return entries;
        }

        private readonly void FillTile(int tile, sbyte* row, sbyte* nearest)
        {
            byte* data = Tiles[tile];
            ushort* entries = (ushort*)(data + Tiles.CodeBytes);
            new Span<ushort>(entries, Rows * Tiles.Steps(tile)).Fill(Tiles.NoColumn);
            for (int lane = 0; lane < Rows && Tiles.RowsOf(tile)[lane] >= 0; lane++)
            {
                Tiles.Columns.Arrange(Values, Tiles.RowsOf(tile)[lane], row);
                byte* chunk = data + 4 * lane;
                ushort* next = entries + lane;
                foreach (ChunkRun run in Tiles.Columns.Runs)
                {
                    for (int c = run.First; c < run.First + run.Count; c++, chunk += ChunkForms.Vectors(run.Form) * IBlockFormat.Vector)
                    {
                        sbyte* integers = row + ChunkForms.Columns * c;
                        ChunkForms.Pack(run.Form, integers, chunk);
                        if (run.Form == ChunkForm.Bits8) continue;
                        ChunkForms.Nearest(run.Form, integers, nearest);
                        for (int i = 0; i < ChunkForms.Columns; i++)
                        {
                            int rest = integers[i] - nearest[i];
                            ushort entry = (ushort)(ChunkForms.Columns * c + i | (rest < 0 ? Negative : 0));
                            for (int n = Math.Abs(rest); n > 0; n--, next += Rows) *next = entry;
                        }
                    }
                }
            }
        }
    }
}
