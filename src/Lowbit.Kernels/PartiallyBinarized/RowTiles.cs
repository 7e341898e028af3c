using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Where the bytes of a tile of sixteen rows begin.</summary>
internal unsafe struct RowTile
{
    /// <summary>Scales, planes and steps, segment after segment.</summary>
    public byte* Data;

    /// <summary>For every segment the number of its steps, in two bytes, and for each step how many columns its window begins after the one before it.</summary>
    public byte* Moves;

    /// <summary>The tile's rows of the matrix are <see cref="FirstRow"/> and these more.</summary>
    public ushort* Rows;

    /// <summary>See <see cref="Rows"/>.</summary>
    public int FirstRow;

    /// <summary>Whether the steps have gaps instead of places.</summary>
    public bool Gaps;

    /// <summary>The matrix's row of a row of the tile.</summary>
    public readonly int Row(int index) => FirstRow + Rows[index];
}

/// <summary>
/// The weights of a packed matrix once more, in the order in which <see cref="TileProduct{TKernel}"/> reads them: tiles of sixteen rows, and in a
/// tile the segments of <see cref="SegmentProduct"/>. Rows with as many salient weights are in a tile, whatever their places among 65536. A
/// segment is
/// <list type="bullet">
/// <item>the scales of the rows, as <see cref="TileScales"/> has them;</item>
/// <item>for each low plane and each block of 64 columns two vectors of 64 bytes, the halves of the block: byte 16 g + r is bits 8 g to 8 g + 7 of
/// the half of row <see cref="RowOfByte"/>(r), with zeros for salient weights;</item>
/// <item>steps of the salient weights (<see cref="StepForm"/>).</item>
/// </list>
/// </summary>
internal sealed unsafe class RowTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = WeightMatrix.RowsOfTile;

    /// <summary>Bytes of a vector of a plane, and of a line of memory.</summary>
    public const int Unit = 64;

    private const int RowsOfOrder = ushort.MaxValue + 1;
    private const double DenseShare = 0.15; // of salient weights, from which on steps have gaps
    private const int TilesOfWave = 8; // a thread

    [ThreadStatic]
    private static NativeBuffer? t_slots;

    private readonly HashSet<object> _owners; // of the memory; as with mapped tensors, it goes when nobody refers to it
    private readonly byte*[] _data, _moves;
    private readonly ushort* _order;
    private readonly bool _gaps;

    /// <summary>Makes the tiles.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="rows">The matrix.</param>
    /// <param name="form">How their steps lie.</param>
    public RowTiles(WorkerPool pool, in PackedRows rows, StepForm form)
    {
        Form = form;
        int tiles = (rows.Rows + Rows - 1) / Rows;
        NativeBuffer order = BySalientWeights(pool, rows, out long salient);
        _owners = [order];
        _order = (ushort*)order.Pointer;
        _gaps = salient >= DenseShare * rows.Rows * rows.Columns;
        _data = new byte*[tiles];
        _moves = new byte*[tiles];
        // A tile's size is known when it is written: a wave of tiles is written into slots, then moved to where they lie one behind the other.
        TileWriter writer = new(rows, form, _gaps);
        int wave = Math.Min(TilesOfWave * pool.Threads, tiles);
        byte* slots = Scratch.Ensure(ref t_slots, wave * writer.MostBytes);
        long[] starts = new long[wave + 1];
        for (int first = 0; first < tiles; first += wave)
        {
            int count = Math.Min(wave, tiles - first);
            WriteWork write = new() { Tiles = this, Writer = writer, First = first, RowsLeft = rows.Rows - first * Rows, Slots = slots, Starts = starts };
            pool.Run(ref write, count, 1);
            for (int i = 0; i < count; i++) starts[i + 1] += starts[i];
            MoveWork move = new() { Tiles = this, First = first, Target = LargePages.Take(starts[count], out object owner), Starts = starts };
            _owners.Add(owner);
            pool.Run(ref move, count, 1);
        }
    }

    /// <summary>How the steps lie.</summary>
    public StepForm Form { get; }

    /// <summary>Number of tiles.</summary>
    public int Count => _data.Length;

    /// <summary>A tile.</summary>
    public RowTile this[int tile] => new()
    {
        Data = _data[tile],
        Moves = _moves[tile],
        Rows = _order + Rows * tile,
        FirstRow = Rows * tile / RowsOfOrder * RowsOfOrder,
        Gaps = _gaps,
    };

    /// <summary>The row in its tile of a byte of sixteen: even bytes are rows 0 to 7, odd ones 8 to 15.</summary>
    public static int RowOfByte(int index) => index / 2 + index % 2 * 8;

    // [rows] the rows by their number of salient weights, span after span.
    private static NativeBuffer BySalientWeights(WorkerPool pool, in PackedRows rows, out long salient)
    {
        using NativeBuffer memory = new(rows.Rows * sizeof(long));
        Span<long> keys = memory.Span<long>(0, rows.Rows);
        CountWork work = new() { Packed = rows, Keys = (long*)memory.Pointer };
        pool.Run(ref work, rows.Rows, 64);
        for (int first = 0; first < rows.Rows; first += RowsOfOrder) keys[first..Math.Min(rows.Rows, first + RowsOfOrder)].Sort();
        NativeBuffer order = new(rows.Rows * sizeof(ushort));
        salient = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            ((ushort*)order.Pointer)[i] = (ushort)keys[i];
            salient += keys[i] >> 32;
        }
        return order;
    }

    private struct CountWork : IParallelWork
    {
        public PackedRows Packed;
        public long* Keys;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++) Keys[r] = (long)Packed.SalientCount(r) << 32 | (uint)r;
        }
    }

    private struct WriteWork : IParallelWork
    {
        public RowTiles Tiles;
        public TileWriter Writer;
        public int First, RowsLeft;
        public byte* Slots;
        public long[] Starts;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++)
            {
                RowTile tile = Tiles[First + i];
                Starts[i + 1] = Writer.Write(ref tile, Math.Min(Rows, RowsLeft - i * Rows), Slots + i * Writer.MostBytes);
                Tiles._data[First + i] = tile.Data;
                Tiles._moves[First + i] = tile.Moves;
            }
        }
    }

    private struct MoveWork : IParallelWork
    {
        public RowTiles Tiles;
        public int First;
        public byte* Target;
        public long[] Starts;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++)
            {
                byte* from = Tiles._moves[First + i], to = Target + Starts[i];
                long bytes = Starts[i + 1] - Starts[i];
                Buffer.MemoryCopy(from, to, bytes, bytes);
                Tiles._moves[First + i] = to;
                Tiles._data[First + i] += to - from;
            }
        }
    }
}
