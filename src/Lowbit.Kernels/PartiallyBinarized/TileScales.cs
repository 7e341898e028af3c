using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Scales, means and zeros of eight rows of a tile for one segment, one row a lane. In a tile they are, for its sixteen rows, low scales and
/// low means, high scales, and zeros in bytes: each a vector of 64 bytes, or, with scales of 16 bits, in 32, 32, 32 and 16 bytes.
/// </summary>
internal readonly unsafe struct TileScales
{
    private readonly Vector256<float> _lowScale, _lowMean, _highScale;
    private readonly Vector256<int> _highZero;

    /// <summary>Takes them from a tile.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="units">Where they are.</param>
    /// <param name="first">First row in the tile, 0 or 8.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TileScales(in PackedRows rows, byte* units, int first)
    {
        int table = TableBytes(rows);
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(units + WeightMatrix.Ahead + 16 * first); // the units are two or four lines
            Sse.Prefetch0(units + WeightMatrix.Ahead + 16 * first + RowTiles.Unit);
        }
        _lowScale = Load(rows, units, first);
        _lowMean = Load(rows, units + table, first);
        _highScale = Load(rows, units + 2 * table, first);
        _highZero = Vector256.WidenLower(Vector256.WidenLower(Vector64.Load(units + 3 * table + first).ToVector128Unsafe().ToVector256Unsafe())).AsInt32();
    }

    /// <summary>Units of a segment's scales.</summary>
    public static int Units(in PackedRows rows) => rows.HalfScales ? 2 : 4;

    /// <summary>Writes those of a segment into a tile.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="rowsOfTile">The tile's rows.</param>
    /// <param name="count">Their number.</param>
    /// <param name="block">First block of the segment.</param>
    /// <param name="units">[<see cref="Units"/>].</param>
    public static void Store(in PackedRows rows, int* rowsOfTile, int count, int block, byte* units)
    {
        int lowGroup = rows.LowGroups == 1 ? 0 : 64 * block / rows.LowGroupSize, highGroup = rows.HighGroups == 1 ? 0 : 64 * block / rows.HighGroupSize;
        int table = TableBytes(rows), scale = table / RowTiles.Rows;
        new Span<byte>(units, Units(rows) * RowTiles.Unit).Clear();
        for (int i = 0; i < count; i++)
        {
            long low = (long)rowsOfTile[i] * rows.LowGroups + lowGroup, high = (long)rowsOfTile[i] * rows.HighGroups + highGroup;
            if (rows.LowBits > 0) Copy(rows.LowScale, low, 0, i);
            Copy(rows.LowMean, low, 1, i);
            Copy(rows.HighScale, high, 2, i);
            units[3 * table + i] = rows.HighZero[high];
        }

        void Copy(byte* from, long index, int to, int row) => Buffer.MemoryCopy(from + index * scale, units + to * table + row * scale, scale, scale);
    }

    /// <summary>The contribution of a segment, from the sums of <see cref="SegmentProduct"/> of the eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> Apply(int lowBits, int total, Vector256<int> low, Vector256<int> high, Vector256<int> codes)
    {
        Vector256<int> m = Vector256.Create(total) - high;
        Vector256<int> p = low + low;
        if (lowBits == 1) p -= m;
        if (lowBits == 2) p -= m + m + m;
        Vector256<int> h = codes - _highZero * high;
        return (_lowScale * Vector256.ConvertToSingle(p) + _lowMean * Vector256.ConvertToSingle(m)) + _highScale * Vector256.ConvertToSingle(h);
    }

    private static int TableBytes(in PackedRows rows) => RowTiles.Rows * (rows.HalfScales ? sizeof(ushort) : sizeof(float));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Load(in PackedRows rows, byte* table, int first) => rows.HalfScales
        ? FiniteHalf.ToFloat(Vector256.WidenLower(Vector128.Load((short*)table + first).ToVector256Unsafe()))
        : Vector256.Load((float*)table + first);
}
