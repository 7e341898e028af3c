using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Scales, means and zeros of the eight rows of a tile for one group of columns, one row a lane.</summary>
internal unsafe struct TileScales
{
    private Vector256<float> _lowScale, _lowMean, _highScale;
    private Vector256<int> _highZero;

    /// <summary>The block before which they are valid.</summary>
    public int EndBlock;

    /// <summary>Gathers them for the group of a block.</summary>
    public static TileScales Load(in PackedRows rows, int firstRow, int block)
    {
        int lowGroup = rows.LowGroups == 1 ? 0 : 64 * block / rows.LowGroupSize, highGroup = rows.HighGroups == 1 ? 0 : 64 * block / rows.HighGroupSize;
        int lowEnd = rows.LowGroups == 1 ? rows.Words : (lowGroup + 1) * (rows.LowGroupSize / 64);
        int highEnd = rows.HighGroups == 1 ? rows.Words : (highGroup + 1) * (rows.HighGroupSize / 64);
        int* zeros = stackalloc int[RowTiles.Rows];
        for (int i = 0; i < RowTiles.Rows; i++)
            zeros[i] = rows.HighZero[(long)Math.Min(rows.Rows - 1, firstRow + i) * rows.HighGroups + highGroup];
        return new TileScales
        {
            _lowScale = rows.LowBits == 0 ? default : rows.ScalesOfRows(rows.LowScale, firstRow, rows.LowGroups, lowGroup),
            _lowMean = rows.ScalesOfRows(rows.LowMean, firstRow, rows.LowGroups, lowGroup),
            _highScale = rows.ScalesOfRows(rows.HighScale, firstRow, rows.HighGroups, highGroup),
            _highZero = Vector256.Load(zeros),
            EndBlock = Math.Min(rows.Words, Math.Min(lowEnd, highEnd)),
        };
    }

    /// <summary>The contribution of a block, from the sums of <see cref="EightBitProduct"/> of the eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Vector256<float> Apply(
        int lowBits, Vector128<int> restBits, Vector256<int> all, Vector256<int> both, Vector256<int> high, Vector256<int> rest, int total, float scale)
    {
        Vector256<int> m = Vector256.Create(total) - high;
        Vector256<int> p = Vector256.ShiftLeft(all - both, 1);
        if (lowBits == 1) p -= m;
        if (lowBits == 2) p -= m + m + m;
        Vector256<int> shifted = Avx2.ShiftLeftLogical(both, restBits);
        Vector256<int> h = rest + shifted - _highZero * high;
        Vector256<float> low = _lowScale * Vector256.ConvertToSingle(p) + _lowMean * Vector256.ConvertToSingle(m);
        return Vector256.Create(scale) * (low + _highScale * Vector256.ConvertToSingle(h));
    }
}
