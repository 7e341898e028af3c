using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Scales, means and zeros of eight rows of a tile for one segment, one row a lane.</summary>
internal readonly unsafe struct TileScales
{
    private readonly Vector256<float> _lowScale, _lowMean, _highScale;
    private readonly Vector256<int> _highZero;

    /// <summary>Gathers them for the segment of a block.</summary>
    public TileScales(in PackedRows rows, int firstRow, int block)
    {
        int lowGroup = rows.LowGroups == 1 ? 0 : 64 * block / rows.LowGroupSize, highGroup = rows.HighGroups == 1 ? 0 : 64 * block / rows.HighGroupSize;
        int* zeros = stackalloc int[8];
        for (int i = 0; i < 8; i++) zeros[i] = rows.HighZero[(long)Math.Min(rows.Rows - 1, firstRow + i) * rows.HighGroups + highGroup];
        _lowScale = rows.LowBits == 0 ? default : rows.ScalesOfRows(rows.LowScale, firstRow, rows.LowGroups, lowGroup);
        _lowMean = rows.ScalesOfRows(rows.LowMean, firstRow, rows.LowGroups, lowGroup);
        _highScale = rows.ScalesOfRows(rows.HighScale, firstRow, rows.HighGroups, highGroup);
        _highZero = Vector256.Load(zeros);
    }

    /// <summary>The contribution of a segment, from the sums of <see cref="IntegerProduct"/> of the eight rows.</summary>
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
}
