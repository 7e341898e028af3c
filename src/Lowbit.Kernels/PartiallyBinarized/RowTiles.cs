using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The weights of a packed matrix once more, in the order in which <see cref="TileProductAvx512"/> reads them: tiles of eight rows, and in
/// a tile one record for every 64 columns. A record is: 64 bytes for the positions, bit j of byte 8 r + i is 0 where the weight of row r in
/// column 8 j + i is salient (1 beyond the last column); 64 bytes for each low plane in the same order; and the codes of the salient
/// weights, one byte each, in the order of j, then r, then i. Rows beyond the last have no salient weights.
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
                Sizes[tile + 1] = salient + (long)Packed.Words * PlaneBytes * (1 + Packed.LowBits);
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
            ulong* salient = stackalloc ulong[Rows];
            new Span<ulong>(salient, Rows).Clear();
            byte* record = Tiles.Records(tile), tileEnd = Tiles.Records(tile + 1);
            for (int word = 0; word < words; word++)
            {
                ulong* plane = (ulong*)record;
                for (int r = 0; r < Rows; r++)
                {
                    if (r < rowCount) salient[r] = Packed.Positions[(long)(firstRow + r) * words + word];
                    plane[r] = ~Transposed(salient[r]);
                }
                for (int bit = 0; bit < Packed.LowBits; bit++)
                {
                    plane += Rows;
                    for (int r = 0; r < rowCount; r++) plane[r] = Transposed(Packed.Low[((long)(firstRow + r) * Packed.LowBits + bit) * words + word]);
                }
                byte* target = record + PlaneBytes * (1 + Packed.LowBits);
                for (int shift = 0; shift < 64; shift += 8)
                {
                    for (int r = 0; r < rowCount; r++)
                    {
                        int count = BitOperations.PopCount((uint)(salient[r] >> shift) & 0xFF);
                        // Eight bytes at once where they do not reach into the next tile, which another thread may be filling.
                        if (tileEnd - target >= sizeof(ulong)) *(ulong*)target = *(ulong*)cursors[r];
                        else Buffer.MemoryCopy(cursors[r], target, count, count);
                        target += count;
                        cursors[r] += count;
                    }
                }
                record = target;
            }
        }

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
