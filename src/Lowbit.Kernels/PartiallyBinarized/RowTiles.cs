using System;
using System.Numerics;
using System.Runtime.CompilerServices;
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

    private readonly object[] _owners; // of the memory; as with mapped tensors, it goes when nobody refers to it
    private readonly byte* _data, _moves;
    private readonly ushort* _order;
    private readonly long[] _dataStarts, _moveStarts;
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
        _order = (ushort*)order.Pointer;
        _gaps = salient >= DenseShare * rows.Rows * rows.Columns;
        _dataStarts = new long[tiles + 1];
        _moveStarts = new long[tiles + 1];
        Work work = new() { Packed = rows, Tiles = this };
        pool.Run(ref work, tiles, 1);
        for (int tile = 0; tile < tiles; tile++)
        {
            _dataStarts[tile + 1] += _dataStarts[tile];
            _moveStarts[tile + 1] += _moveStarts[tile];
        }
        NativeBuffer moves = new(_moveStarts[tiles]);
        _data = LargePages.Take(_dataStarts[tiles], out object data);
        _owners = [order, data, moves];
        _moves = moves.Pointer;
        work.Fill = true;
        pool.Run(ref work, tiles, 1);
    }

    /// <summary>How the steps lie.</summary>
    public StepForm Form { get; }

    /// <summary>Number of tiles.</summary>
    public int Count => _dataStarts.Length - 1;

    /// <summary>A tile.</summary>
    public RowTile this[int tile] => new()
    {
        Data = _data + _dataStarts[tile],
        Moves = _moves + _moveStarts[tile],
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

    // Counts units and windows, then, once there is memory, fills it: the same steps both times.
    private struct Work : IParallelWork
    {
        [ThreadStatic]
        private static NativeBuffer? t_codes;

        [ThreadStatic]
        private static NativeBuffer? t_entries;

        public PackedRows Packed;
        public RowTiles Tiles;
        public bool Fill;

        public readonly void Execute(int start, int end)
        {
            byte* codes = Scratch.Ensure(ref t_codes, (long)Rows * Packed.CodeStride);
            ushort* entries = (ushort*)Scratch.Ensure(ref t_entries, Rows * (64L * SegmentProduct.SegmentBlocks + 1) * sizeof(ushort));
            for (int tile = start; tile < end; tile++) Make(tile, codes, entries);
        }

        // Runs once a matrix, too short for the compiler to settle.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Make(int tile, byte* codes, ushort* entries)
        {
            RowTile target = Tiles[tile];
            int rowCount = Math.Min(Rows, Packed.Rows - tile * Rows);
            int* rows = stackalloc int[Rows];
            byte** rest = stackalloc byte*[Rows];
            for (int r = 0; r < rowCount; r++)
            {
                rows[r] = target.Row(r);
                rest[r] = codes + (long)r * Packed.CodeStride;
                if (Fill) Packed.UnpackHigh(rows[r], rest[r]);
            }
            byte* data = target.Data, moves = target.Moves;
            long bytes = 0, moveBytes = 0;
            for (int block = 0, end; block < Packed.Words; block = end)
            {
                end = SegmentProduct.SegmentEnd(Packed, block);
                bytes += Unit * (TileScales.Units(Packed) + 2L * Packed.LowBits * (end - block));
                if (Fill)
                {
                    TileScales.Store(Packed, rows, rowCount, block, data);
                    data += TileScales.Units(Packed) * Unit;
                    for (int plane = 0; plane < Packed.LowBits; plane++)
                        for (int b = block; b < end; b++, data += 2 * Unit) Plane(rows, rowCount, plane, b, data);
                }
                int steps = Steps(rows, rowCount, block, end, entries, rest, ref data, ref moves);
                bytes += Tiles.Form.Bytes(steps, target.Gaps);
                moveBytes += sizeof(ushort) + steps;
            }
            if (Fill) return;
            Tiles._dataStarts[tile + 1] = bytes;
            Tiles._moveStarts[tile + 1] = moveBytes;
        }

        private readonly void Plane(int* rows, int rowCount, int plane, int block, byte* target)
        {
            for (int i = 0; i < Rows; i++)
            {
                int row = RowOfByte(i);
                ulong word = row < rowCount ? Packed.LowWord(rows[row], plane, block) & ~Packed.Positions[(long)rows[row] * Packed.Words + block] : 0;
                for (int g = 0; g < 8; g++) target[16 * g + i] = (byte)(word >> 8 * g);
            }
        }

        // Gives the number of steps of a segment.
        private readonly int Steps(int* rows, int rowCount, int block, int end, ushort* entries, byte** rest, ref byte* data, ref byte* moves)
        {
            const int Most = 64 * SegmentProduct.SegmentBlocks;
            StepForm form = Tiles.Form;
            bool gaps = Tiles._gaps;
            ushort** next = stackalloc ushort*[Rows];
            int* last = stackalloc int[Rows]; // column that a gap counts from
            for (int r = 0; r < rowCount; r++)
            {
                next[r] = entries + r * (Most + 1);
                *Columns(Packed.Positions + (long)rows[r] * Packed.Words, block, end, next[r]) = ushort.MaxValue;
                last[r] = -1;
            }
            byte* count = moves;
            moves += sizeof(ushort);
            for (int steps = 0, window = 0; ; steps++)
            {
                int first = ushort.MaxValue;
                for (int r = 0; r < rowCount; r++) first = Math.Min(first, Next(r));
                if (first == ushort.MaxValue)
                {
                    if (Fill) *(ushort*)count = (ushort)steps;
                    return steps;
                }
                int move = Math.Min(first - first % form.Start - window, form.FarthestMove);
                window += move;
                StepTarget target = default;
                if (Fill)
                {
                    *moves++ = (byte)move;
                    target = form.Begin(ref data, steps, gaps);
                }
                for (int r = 0; r < rowCount; r++)
                {
                    for (int slot = form.Slots * r; slot < form.Slots * (r + 1) && Next(r) < window + form.Columns; slot++)
                    {
                        int column = Next(r), gap = column - last[r];
                        bool isWeight = column == *next[r];
                        last[r] = column;
                        if (isWeight) next[r]++;
                        if (!Fill) continue;
                        if (gaps) target.SetGap(slot, isWeight ? gap : StepForm.GapToNone);
                        else target.Where[slot] = (byte)(column - window + form.Bias);
                        if (isWeight) target.Codes[slot] = Code(rows[r], block + column / 64, column % 64, *rest[r]++);
                    }
                }
            }

            // The column of a row's next weight, or, where the gap to it is long, one on the way.
            int Next(int row) => gaps && *next[row] != ushort.MaxValue ? Math.Min(*next[row], last[row] + StepForm.LongestGap) : *next[row];
        }

        private readonly byte Code(int row, int word, int bit, byte rest)
        {
            int upper = 0;
            for (int plane = 0; plane < Packed.LowBits; plane++) upper |= (int)(Packed.LowWord(row, plane, word) >> bit & 1) << plane;
            return (byte)(upper << Packed.RestBits | rest);
        }

        // The columns of the ones of some words, from the first word's on.
        private static ushort* Columns(ulong* words, int block, int end, ushort* columns)
        {
            for (int b = block; b < end; b++)
            {
                for (ulong bits = words[b]; bits != 0; bits &= bits - 1)
                    *columns++ = (ushort)(64 * (b - block) + BitOperations.TrailingZeroCount(bits));
            }
            return columns;
        }
    }
}
