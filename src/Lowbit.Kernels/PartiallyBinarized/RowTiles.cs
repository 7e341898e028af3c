using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The weights of a packed matrix once more, in the order in which <see cref="TileProductAvx512"/> reads them: tiles of eight rows, and in
/// a tile one record for every 64 columns. A record is: 8 bytes, the numbers of salient weights of the rows; 64 bytes for each low plane,
/// bit j of byte 8 r + i for row r and column 8 j + i; and the salient weights, first the first eight of each row, then the next eight,
/// and so on, each time a byte for every place, then one for every code. A place is the column; its bits 6 and 7 repeat what the
/// low planes hold there. At a tenth of salient weights this takes as many bytes as the file.
/// </summary>
internal sealed unsafe class RowTiles
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 8;

    /// <summary>Bytes of eight rows of a plane in a record.</summary>
    public const int PlaneBytes = 64;

    private const int Slack = 64; // whole vectors are loaded at the last code

    private readonly object _owner; // of the memory; as with mapped tensors, it goes when nobody refers to it
    private readonly byte* _records;
    private readonly long[] _starts;

    /// <summary>Makes the tiles.</summary>
    /// <param name="pool">Threads that share them.</param>
    /// <param name="rows">The matrix.</param>
    public RowTiles(WorkerPool pool, in PackedRows rows)
    {
        int tiles = (rows.Rows + Rows - 1) / Rows;
        _starts = new long[tiles + 1];
        CountWork count = new() { Packed = rows, Sizes = _starts };
        pool.Run(ref count, tiles, 8);
        for (int tile = 0; tile < tiles; tile++) _starts[tile + 1] += _starts[tile];
        NativeBuffer memory = new(_starts[tiles] + Slack);
        _owner = memory;
        _records = memory.Pointer;
        FillWork fill = new() { Packed = rows, Tiles = this };
        pool.Run(ref fill, tiles, 8);
    }

    /// <summary>The records of a tile.</summary>
    public byte* Records(int tile) => _records + _starts[tile];

    private struct CountWork : IParallelWork
    {
        public PackedRows Packed;
        public long[] Sizes;

        public readonly void Execute(int start, int end)
        {
            for (int tile = start; tile < end; tile++)
            {
                long salient = 0;
                for (int r = tile * Rows; r < Math.Min(Packed.Rows, (tile + 1) * Rows); r++) salient += Packed.SalientCount(r);
                Sizes[tile + 1] = 2 * salient + (long)Packed.Words * (Rows + PlaneBytes * Packed.LowBits);
            }
        }
    }

    private struct FillWork : IParallelWork
    {
        [ThreadStatic]
        private static NativeBuffer? t_codes;

        public PackedRows Packed;
        public RowTiles Tiles;

        public readonly void Execute(int start, int end)
        {
            byte* codes = Scratch.Ensure(ref t_codes, Rows * (long)Packed.CodeStride);
            for (int tile = start; tile < end; tile++) Fill(tile, codes);
        }

        private readonly void Fill(int tile, byte* codes)
        {
            int firstRow = tile * Rows, rowCount = Math.Min(Rows, Packed.Rows - firstRow), words = Packed.Words;
            byte** cursors = stackalloc byte*[Rows];
            for (int r = 0; r < rowCount; r++)
            {
                cursors[r] = codes + r * (long)Packed.CodeStride;
                Packed.UnpackHigh(firstRow + r, cursors[r]);
            }
            byte* counts = Tiles.Records(tile);
            for (int word = 0; word < words; word++)
            {
                int most = 0;
                for (int r = 0; r < rowCount; r++)
                {
                    counts[r] = (byte)BitOperations.PopCount(Salient(firstRow + r, word));
                    most = Math.Max(most, counts[r]);
                }
                ulong* plane = (ulong*)(counts + Rows);
                for (int bit = 0; bit < Packed.LowBits; bit++, plane += Rows)
                {
                    for (int r = 0; r < rowCount; r++) plane[r] = Transposed(Low(firstRow + r, bit, word));
                }
                byte* target = (byte*)plane;
                for (int first = 0; first < most; first += Rows)
                {
                    for (int r = 0; r < rowCount; r++) target = Places(firstRow + r, word, first, target);
                    for (int r = 0; r < rowCount; r++)
                    {
                        int count = Math.Clamp(counts[r] - first, 0, Rows);
                        Buffer.MemoryCopy(cursors[r], target, count, count);
                        target += count;
                        cursors[r] += count;
                    }
                }
                counts = target;
            }
        }

        // Appends the places of the salient weights from the given one on, at most eight.
        private readonly byte* Places(int row, int word, int first, byte* target)
        {
            ulong salient = Salient(row, word);
            for (int skipped = 0; skipped < first && salient != 0; skipped++) salient &= salient - 1;
            for (int i = 0; i < Rows && salient != 0; i++, salient &= salient - 1)
            {
                int column = BitOperations.TrailingZeroCount(salient), place = column;
                for (int bit = 0; bit < Packed.LowBits; bit++) place |= (int)(Low(row, bit, word) >> column & 1) << 6 + bit;
                *target++ = (byte)place;
            }
            return target;
        }

        private readonly ulong Salient(int row, int word) => Packed.Positions[(long)row * Packed.Words + word];

        private readonly ulong Low(int row, int bit, int word) => Packed.Low[((long)row * Packed.LowBits + bit) * Packed.Words + word];

        // Bit i of byte j becomes bit j of byte i.
        private static ulong Transposed(ulong bits)
        {
            ulong swap = (bits ^ (bits >> 7)) & 0x00AA00AA00AA00AA;
            bits ^= swap ^ (swap << 7);
            swap = (bits ^ (bits >> 14)) & 0x0000CCCC0000CCCC;
            bits ^= swap ^ (swap << 14);
            swap = (bits ^ (bits >> 28)) & 0x00000000F0F0F0F0;
            return bits ^ swap ^ (swap << 28);
        }
    }
}
