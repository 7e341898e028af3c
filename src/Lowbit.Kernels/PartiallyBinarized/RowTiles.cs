using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
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
        NativeBuffer memory = new(_starts[tiles] + Slack, largePages: true);
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

        // Runs once, too short for the compiler to settle.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Fill(int tile, byte* codes)
        {
            int firstRow = tile * Rows, rowCount = Math.Min(Rows, Packed.Rows - firstRow), words = Packed.Words, lowBits = Packed.LowBits;
            byte** cursors = stackalloc byte*[Rows];
            for (int r = 0; r < rowCount; r++)
            {
                cursors[r] = codes + r * (long)Packed.CodeStride;
                Packed.UnpackHigh(firstRow + r, cursors[r]);
            }
            byte* places = stackalloc byte[64 * Rows + 16]; // stores of eight bytes may reach beyond the last place
            byte* counts = Tiles.Records(tile), tileEnd = Tiles.Records(tile + 1);
            for (int word = 0; word < words; word++)
            {
                int most = 0;
                for (int r = 0; r < Rows; r++)
                {
                    counts[r] = r < rowCount ? (byte)BitOperations.PopCount(Packed.Positions[(long)(firstRow + r) * words + word]) : (byte)0;
                    most = Math.Max(most, counts[r]);
                }
                ulong* plane = (ulong*)(counts + Rows);
                for (int bit = 0; bit < lowBits; bit++, plane += Rows)
                {
                    for (int r = 0; r < Rows; r++) plane[r] = r < rowCount ? Transposed(Low(firstRow + r, bit, word)) : 0;
                }
                byte* target = (byte*)plane;
                for (int r = 0; r < rowCount; r++)
                {
                    ulong salient = Packed.Positions[(long)(firstRow + r) * words + word];
                    Places(salient, lowBits > 0 ? Low(firstRow + r, 0, word) : 0, lowBits > 1 ? Low(firstRow + r, 1, word) : 0, places + 64 * r);
                }
                for (int first = 0; first < most; first += Rows)
                {
                    for (int r = 0; r < rowCount; r++)
                    {
                        int count = Math.Clamp(counts[r] - first, 0, Rows);
                        // Eight bytes at once where they do not reach into the next tile, which another thread may be filling.
                        if (tileEnd - target >= sizeof(ulong)) *(ulong*)target = *(ulong*)(places + 64 * r + first);
                        else Buffer.MemoryCopy(places + 64 * r + first, target, count, count);
                        target += count;
                    }
                    for (int r = 0; r < rowCount; r++)
                    {
                        int count = Math.Clamp(counts[r] - first, 0, Rows);
                        if (tileEnd - target >= sizeof(ulong)) *(ulong*)target = *(ulong*)cursors[r];
                        else Buffer.MemoryCopy(cursors[r], target, count, count);
                        target += count;
                        cursors[r] += count;
                    }
                }
                counts = target;
            }
        }

        // The columns of the ones, each with the bits that the low planes hold there as its bits 6 and 7.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Places(ulong salient, ulong low0, ulong low1, byte* places)
        {
            byte* next = places;
            for (int shift = 0; shift < 64; shift += 16)
            {
                // Sixteen bits become sixteen nibbles of ones, which choose among the numbers 0 to 15.
                ulong bits = salient >> shift & 0xFFFF, start = (ulong)shift * 0x0101010101010101;
                ulong numbers = Bmi2.X64.ParallelBitExtract(0xFEDCBA9876543210, Bmi2.X64.ParallelBitDeposit(bits, 0x1111111111111111) * 15);
                *(ulong*)next = Bmi2.X64.ParallelBitDeposit(numbers, 0x0F0F0F0F0F0F0F0F) | start;
                int count = BitOperations.PopCount(bits);
                if (count > 8) *(ulong*)(next + 8) = Bmi2.X64.ParallelBitDeposit(numbers >> 32, 0x0F0F0F0F0F0F0F0F) | start;
                next += count;
            }
            ulong here0 = Bmi2.X64.ParallelBitExtract(low0, salient), here1 = Bmi2.X64.ParallelBitExtract(low1, salient);
            for (; places < next; places += 8, here0 >>= 8, here1 >>= 8)
                *(ulong*)places |= Bmi2.X64.ParallelBitDeposit(here0, 0x4040404040404040) | Bmi2.X64.ParallelBitDeposit(here1, 0x8080808080808080);
        }

        private readonly ulong Low(int row, int bit, int word) => Packed.Low[((long)row * Packed.LowBits + bit) * Packed.Words + word];

        // Bit i of byte j becomes bit j of byte i.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
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
