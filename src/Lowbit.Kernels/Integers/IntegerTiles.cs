using System;
using System.Collections.Generic;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The integers of a matrix as products read them: tiles of sixteen rows, in a tile the chunks of columns in the forms that
/// <see cref="ColumnOrder"/> has found, the same for all tiles, and elsewhere what the forms leave out. Rows with as many entries are in a tile,
/// whatever their places in their <see cref="TileWave"/>.
/// </summary>
internal sealed unsafe class IntegerTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = IBlockFormat.Rows;

    private readonly List<object> _owners = []; // of the memory of tiles
    private readonly object _rowsOwner;
    private readonly byte*[] _tiles;
    private readonly TileEntries[] _entries;
    private readonly int* _rows;
    private readonly int _rowCount;
    private readonly Lock _making = new();
    private volatile CodedIntegers? _coded; // until the tiles are made
    private int _waveRows;

    /// <summary>Keeps the integers in their file until <see cref="Make"/>.</summary>
    /// <param name="coded">The integers.</param>
    public IntegerTiles(CodedIntegers coded)
    {
        _coded = coded;
        _rowCount = coded.Rows;
        Count = (_rowCount + Rows - 1) / Rows;
        _tiles = new byte*[Count];
        _entries = new TileEntries[Count];
        NativeBuffer rows = new((long)Count * Rows * sizeof(int));
        _rows = (int*)rows.Pointer;
        _rowsOwner = rows;
        Columns = new ColumnOrder(coded.RowClasses, coded.ColumnClasses);
    }

    /// <summary>Whether there are tiles, without which nothing else here can be read.</summary>
    public bool AreMade => _coded is null;

    /// <summary>Makes the tiles if nobody has; the file is not needed any more then.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <exception cref="LowbitException">The coded integers are damaged.</exception>
    public void Make(WorkerPool pool)
    {
        if (AreMade) return;
        lock (_making)
        {
            if (_coded is not { } coded) return;
            int waveChunks = CodedIntegers.ChunksAtOnce * Math.Max(2, pool.Threads);
            _waveRows = waveChunks * coded.ChunkRows;
            if (!Fill(pool, coded, waveChunks))
            {
                // Integers that their classes did not expect.
                Columns = ColumnOrder.InBytes(coded.Columns);
                Fill(pool, coded, waveChunks);
            }
            coded.ReleasePages();
            _coded = null;
        }
    }

    /// <summary>Number of tiles.</summary>
    public int Count { get; }

    /// <summary>The order of the columns and the forms of their chunks.</summary>
    public ColumnOrder Columns { get; private set; }

    /// <summary>Bytes of a tile.</summary>
    public int CodeBytes { get; private set; }

    /// <summary>Whether 32 bits hold the products of all rows with tokens of <see cref="ScaledTokens"/>.</summary>
    public bool FitIntegers { get; private set; }

    /// <summary>Bytes of all tiles and entries.</summary>
    public long Bytes { get; private set; }

    /// <summary>A tile.</summary>
    public byte* this[int tile] => _tiles[tile];

    /// <summary>What a tile leaves out.</summary>
    public TileEntries Entries(int tile) => _entries[tile];

    /// <summary>[16] rows of the matrix that are in a tile; those beyond the last are −1 and in the end.</summary>
    public int* RowsOf(int tile) => _rows + tile * Rows;

    /// <summary>The integers of a row.</summary>
    /// <param name="row">The row.</param>
    /// <param name="integers">[<see cref="ColumnOrder.Padded"/>] in the order of <see cref="Columns"/>, overwritten.</param>
    public void Unpack(int row, sbyte* integers)
    {
        int firstOfWave = row / _waveRows * _waveRows;
        int place = firstOfWave + new ReadOnlySpan<int>(_rows + firstOfWave, Math.Min(_waveRows, _rowCount - firstOfWave)).IndexOf(row);
        int tile = place / Rows, lane = place % Rows, column = 0;
        byte* chunk = this[tile] + 4 * lane;
        foreach (ChunkRun run in Columns.Runs)
        {
            for (int i = 0; i < run.Count; i++, column += ChunkForms.Columns(run.Form), chunk += ChunkForms.Vectors(run.Form) * IBlockFormat.Vector)
                ChunkForms.Unpack(run.Form, chunk, integers + column);
        }
        for (EntryCursor entry = Entries(tile).OnesOf(lane); entry.MoveNext(Columns.Padded);) integers[entry.Column] += (sbyte)entry.Difference;
        for (EntryCursor entry = Entries(tile).LargesOf(lane); entry.MoveNext(Columns.Padded);) integers[entry.Column] += (sbyte)entry.Difference;
    }

    // Wave after wave. Gives false if the forms leave out too much.
    private bool Fill(WorkerPool pool, CodedIntegers coded, int waveChunks)
    {
        _owners.Clear();
        (CodeBytes, Bytes, FitIntegers) = (0, 0, true);
        foreach (ChunkRun run in Columns.Runs) CodeBytes += run.Count * ChunkForms.Vectors(run.Form) * IBlockFormat.Vector;
        using TileWave wave = new(coded, Columns, waveChunks);
        for (int chunk = 0, first = 0; chunk < coded.Chunks; chunk += waveChunks, first += _waveRows)
        {
            if (!wave.Read(pool, chunk)) return false;
            FitIntegers &= wave.FitIntegers;
            Span<TileEntries> entries = _entries.AsSpan(first / Rows, wave.Tiles);
            wave.Arrange(new(_rows + first, wave.Tiles * Rows), entries);
            long bytes = (long)CodeBytes * wave.Tiles;
            foreach (TileEntries tile in entries) bytes += tile.Bytes;
            byte* data = LargePages.Take(bytes, out object owner);
            _owners.Add(owner);
            Bytes += bytes;
            byte* next = data + (long)CodeBytes * wave.Tiles;
            for (int tile = 0; tile < wave.Tiles; tile++)
            {
                _tiles[first / Rows + tile] = data + (long)CodeBytes * tile;
                entries[tile].Start = next;
                next += entries[tile].Bytes;
            }
            wave.Store(pool, this, first / Rows);
        }
        return true;
    }
}
