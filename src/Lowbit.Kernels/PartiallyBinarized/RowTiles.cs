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

    /// <summary>For every segment the number of its steps, and of each step the first column of its window, from the segment's on.</summary>
    public ushort* Windows;

    /// <summary>[16] the matrix's rows of the tile; those beyond the last are −1 and in the end.</summary>
    public int* Rows;
}

/// <summary>Which columns a step can reach: those from the first that is left on, or from where a window can begin before it.</summary>
/// <param name="Columns">Their number, at most 255.</param>
/// <param name="Start">Windows begin at multiples of this.</param>
internal readonly record struct StepWindow(int Columns, int Start);

/// <summary>
/// The weights of a packed matrix once more, in the order in which <see cref="TileProduct{TKernel}"/> reads them: tiles of sixteen rows, and in a
/// tile the segments of <see cref="SegmentProduct"/>. Rows with as many salient weights are in a tile, whatever their places in the matrix. A
/// segment is, in units of 64 bytes,
/// <list type="bullet">
/// <item>the scales of the rows, as <see cref="TileScales"/> has them;</item>
/// <item>for each low plane and each block of 64 columns two units, the halves of the block: byte 16 g + r is bits 8 g to 8 g + 7 of the half of row
/// <see cref="RowOfByte"/>(r), with zeros for salient weights;</item>
/// <item>steps of two units for the salient weights: bytes 4 r to 4 r + 3 are the places of up to four of row r, then their codes, at the same bytes.
/// A place is a column of the step's window; 255 and the code 0 stand where a row has none.</item>
/// </list>
/// A step takes from every row what comes next, if its window (<see cref="StepWindow"/>) holds it. So rows need not have the same number of
/// salient weights near a column, and at a tenth of salient weights 93 % of the places are filled with windows of 255 columns, 76 % with 64.
/// </summary>
internal sealed unsafe class RowTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = WeightMatrix.RowsOfTile;

    /// <summary>Bytes of a unit.</summary>
    public const int Unit = 64;

    /// <summary>What is read from the begin of a window on, at most.</summary>
    public const int WidestWindow = 256;

    private const int RowSlots = Unit / Rows;
    private const byte NoPlace = 255;

    private readonly object[] _owners; // of the memory; as with mapped tensors, it goes when nobody refers to it
    private readonly byte* _data;
    private readonly ushort* _windows;
    private readonly int* _order;
    private readonly long[] _dataStarts, _windowStarts;

    /// <summary>Makes the tiles.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="rows">The matrix.</param>
    /// <param name="window">The steps' windows.</param>
    public RowTiles(WorkerPool pool, in PackedRows rows, StepWindow window)
    {
        Window = window;
        int tiles = (rows.Rows + Rows - 1) / Rows;
        NativeBuffer order = BySalientWeights(pool, rows, tiles);
        _order = (int*)order.Pointer;
        _dataStarts = new long[tiles + 1];
        _windowStarts = new long[tiles + 1];
        Work work = new() { Packed = rows, Tiles = this };
        pool.Run(ref work, tiles, 1);
        for (int tile = 0; tile < tiles; tile++)
        {
            _dataStarts[tile + 1] += _dataStarts[tile];
            _windowStarts[tile + 1] += _windowStarts[tile];
        }
        NativeBuffer windows = new(_windowStarts[tiles] * sizeof(ushort));
        _data = LargePages.Take(_dataStarts[tiles], out object data);
        _owners = [order, data, windows];
        _windows = (ushort*)windows.Pointer;
        work.Fill = true;
        pool.Run(ref work, tiles, 1);
    }

    /// <summary>The steps' windows.</summary>
    public StepWindow Window { get; }

    /// <summary>Number of tiles.</summary>
    public int Count => _dataStarts.Length - 1;

    /// <summary>A tile.</summary>
    public RowTile this[int tile] => new() { Data = _data + _dataStarts[tile], Windows = _windows + _windowStarts[tile], Rows = _order + Rows * tile };

    /// <summary>The row in its tile of a byte of sixteen: even bytes are rows 0 to 7, odd ones 8 to 15.</summary>
    public static int RowOfByte(int index) => index / 2 + index % 2 * 8;

    // [tiles, 16] rows by their number of salient weights.
    private static NativeBuffer BySalientWeights(WorkerPool pool, in PackedRows rows, int tiles)
    {
        using NativeBuffer memory = new(rows.Rows * sizeof(long));
        Span<long> keys = memory.Span<long>(0, rows.Rows);
        CountWork work = new() { Packed = rows, Keys = (long*)memory.Pointer };
        pool.Run(ref work, rows.Rows, 64);
        keys.Sort();
        NativeBuffer order = new((long)tiles * Rows * sizeof(int));
        Span<int> all = order.Span<int>(0, tiles * Rows);
        all.Fill(-1);
        for (int i = 0; i < keys.Length; i++) all[i] = (int)keys[i];
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
            byte** rest = stackalloc byte*[Rows];
            for (int r = 0; Fill && r < rowCount; r++)
            {
                rest[r] = codes + (long)r * Packed.CodeStride;
                Packed.UnpackHigh(target.Rows[r], rest[r]);
            }
            byte* data = target.Data;
            ushort* windows = target.Windows;
            long units = 0, steps = 0;
            int segments = 0;
            for (int block = 0, end; block < Packed.Words; block = end, segments++)
            {
                end = SegmentProduct.SegmentEnd(Packed, block);
                units += TileScales.Units(Packed) + 2L * Packed.LowBits * (end - block);
                if (Fill)
                {
                    TileScales.Store(Packed, target.Rows, rowCount, block, data);
                    data += TileScales.Units(Packed) * Unit;
                    for (int plane = 0; plane < Packed.LowBits; plane++)
                        for (int b = block; b < end; b++, data += 2 * Unit) Plane(target.Rows, rowCount, plane, b, data);
                }
                steps += Steps(target.Rows, rowCount, block, end, entries, rest, ref data, ref windows);
            }
            if (Fill) return;
            Tiles._dataStarts[tile + 1] = (units + 2 * steps) * Unit;
            Tiles._windowStarts[tile + 1] = segments + steps;
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
        private readonly int Steps(int* rows, int rowCount, int block, int end, ushort* entries, byte** rest, ref byte* data, ref ushort* windows)
        {
            const int Most = 64 * SegmentProduct.SegmentBlocks;
            ushort** next = stackalloc ushort*[Rows];
            for (int r = 0; r < Rows; r++)
            {
                ushort* last = next[r] = entries + r * (Most + 1);
                if (r < rowCount) last = Columns(Packed.Positions + (long)rows[r] * Packed.Words, block, end, last);
                *last = ushort.MaxValue;
            }
            ushort* count = windows++;
            for (int steps = 0; ; steps++)
            {
                int first = ushort.MaxValue;
                for (int r = 0; r < rowCount; r++) first = Math.Min(first, *next[r]);
                if (first == ushort.MaxValue)
                {
                    if (Fill) *count = (ushort)steps;
                    return steps;
                }
                first -= first % Tiles.Window.Start;
                if (Fill)
                {
                    *windows++ = (ushort)first;
                    new Span<byte>(data, Unit).Fill(NoPlace);
                    new Span<byte>(data + Unit, Unit).Clear();
                }
                for (int r = 0; r < rowCount; r++)
                {
                    for (int slot = RowSlots * r; slot < RowSlots * (r + 1) && *next[r] < first + Tiles.Window.Columns; slot++)
                    {
                        int column = *next[r]++;
                        if (!Fill) continue;
                        data[slot] = (byte)(column - first);
                        data[Unit + slot] = Code(rows[r], block + column / 64, column % 64, *rest[r]++);
                    }
                }
                if (Fill) data += 2 * Unit;
            }
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
