using System;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Eight consecutive rows and what their products need besides the packed bytes, made once and used for all tokens. A
/// last tile with fewer rows repeats the last one, and its results are to be thrown away.
/// </summary>
internal unsafe struct RowTile
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 8;

    [ThreadStatic]
    private static NativeBuffer? t_memory;

    /// <summary>First row of the matrix.</summary>
    public int FirstRow;

    /// <summary>Row i of the tile is row <see cref="FirstRow"/> + min(i, <see cref="LastRow"/>).</summary>
    public int LastRow;

    /// <summary>[8] the words of the bitmap of each row.</summary>
    public ulong** Positions;

    /// <summary>[8] the words of the first low plane of each row; a further plane follows them.</summary>
    public ulong** Low;

    /// <summary>[8] the codes of the salient weights of each row as bytes, without the bits in the low planes.</summary>
    public byte** Codes;

    /// <summary>[8] room for a kernel to count up <see cref="Codes"/>.</summary>
    public byte** Cursors;

    /// <summary>Prepares a tile in memory that this thread keeps; it is good until the next one.</summary>
    public static RowTile Prepare(in PackedRows rows, int firstRow)
    {
        byte** pointers = (byte**)Scratch.Ensure(ref t_memory, Rows * (4L * sizeof(byte*) + rows.CodeStride));
        RowTile tile = new()
        {
            FirstRow = firstRow,
            LastRow = Math.Min(Rows, rows.Rows - firstRow) - 1,
            Positions = (ulong**)pointers,
            Low = (ulong**)pointers + Rows,
            Codes = pointers + 2 * Rows,
            Cursors = pointers + 3 * Rows,
        };
        byte* codes = (byte*)(pointers + 4 * Rows);
        for (int i = 0; i < Rows; i++, codes += rows.CodeStride)
        {
            int row = firstRow + Math.Min(i, tile.LastRow);
            tile.Positions[i] = rows.Positions + (long)row * rows.Words;
            tile.Low[i] = rows.Low + (long)row * rows.Words * rows.LowBits;
            tile.Codes[i] = codes;
            rows.UnpackHigh(row, codes);
        }
        return tile;
    }
}
