using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// What the vector forms of <see cref="IEightBitProduct"/> do after the integer sums of a block: eight rows, one a lane.
/// </summary>
internal unsafe ref struct EightBitBlocks
{
    private readonly ref readonly PackedRows _rows;
    private readonly int _firstRow;
    private Vector256<float> _lowScale, _lowMean, _highScale, _results;
    private Vector256<int> _highZero;
    private int _lowGroupEnd, _highGroupEnd; // blocks

    public EightBitBlocks(in PackedRows rows, int firstRow)
    {
        _rows = ref rows;
        _firstRow = firstRow;
    }

    /// <summary>y of the rows so far.</summary>
    public readonly Vector256<float> Results => _results;

    /// <summary>Adds block <paramref name="b"/>; the arguments are the sums of <see cref="IEightBitProduct"/> of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(int b, Vector256<int> all, Vector256<int> both, Vector256<int> high, Vector256<int> rest, int total, float scale)
    {
        if (b >= _lowGroupEnd) NextLowGroup(b);
        if (b >= _highGroupEnd) NextHighGroup(b);
        Vector256<int> m = Vector256.Create(total) - high;
        Vector256<int> p = Vector256.ShiftLeft(all - both, 1) - (_rows.LowBits == 1 ? m : m * ((1 << _rows.LowBits) - 1));
        Vector256<int> h = rest + Vector256.ShiftLeft(both, _rows.RestBits) - _highZero * high;
        Vector256<float> low = _lowScale * Vector256.ConvertToSingle(p) + _lowMean * Vector256.ConvertToSingle(m);
        _results += Vector256.Create(scale) * (low + _highScale * Vector256.ConvertToSingle(h));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void NextLowGroup(int b)
    {
        int group = _rows.LowGroups == 1 ? 0 : 64 * b / _rows.LowGroupSize;
        _lowGroupEnd = _rows.LowGroups == 1 ? _rows.Words : (group + 1) * (_rows.LowGroupSize / 64);
        _lowScale = _rows.LowBits == 0 ? default : _rows.ScalesOfRows(_rows.LowScale, _firstRow, _rows.LowGroups, group);
        _lowMean = _rows.ScalesOfRows(_rows.LowMean, _firstRow, _rows.LowGroups, group);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void NextHighGroup(int b)
    {
        int group = _rows.HighGroups == 1 ? 0 : 64 * b / _rows.HighGroupSize;
        _highGroupEnd = _rows.HighGroups == 1 ? _rows.Words : (group + 1) * (_rows.HighGroupSize / 64);
        _highScale = _rows.ScalesOfRows(_rows.HighScale, _firstRow, _rows.HighGroups, group);
        int* zeros = stackalloc int[IEightBitProduct.Rows];
        for (int i = 0; i < IEightBitProduct.Rows; i++)
            zeros[i] = _rows.HighZero[(long)System.Math.Min(_firstRow + i, _rows.Rows - 1) * _rows.HighGroups + group];
        _highZero = Vector256.Load(zeros);
    }
}
