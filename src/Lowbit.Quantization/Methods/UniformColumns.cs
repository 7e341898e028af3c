using System;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The columns of GPTQ and its descendants: every row and group of consecutive columns, in the order of the working copy,
/// has a uniform grid, fitted when the group's turn comes or, of whole rows, beforehand.
/// </summary>
internal sealed unsafe class UniformColumns : IColumnQuantizer, IDisposable
{
    private readonly WorkingCopy _copy;
    private readonly NativeBuffer _parameters;
    private readonly float* _scales, _zeros; // [groups, stride]
    private readonly int _columns; // of which grids are fitted
    private readonly bool _wholeRow, _symmetric;
    private readonly ScaleSearch _search;

    /// <summary>Grids that the method fits itself.</summary>
    /// <param name="copy">The weights.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="groupSize">Consecutive columns that share a grid; −1 for the whole row.</param>
    /// <param name="precision">Precision of the scales.</param>
    public UniformColumns(WorkingCopy copy, int bits, int groupSize, ScalePrecision precision)
    {
        _copy = copy;
        _columns = copy.Columns;
        Bits = bits;
        GroupSize = MethodOptions.GroupColumns(groupSize, copy.Columns);
        Rounding = new ScaleRounding(precision);
        Groups = (copy.Columns + GroupSize - 1) / GroupSize;
        _parameters = new NativeBuffer(2L * Groups * copy.Stride * sizeof(float));
        _scales = _parameters.Floats;
        _zeros = _scales + (long)Groups * copy.Stride;
    }

    /// <summary>Grids as GPTQ has them.</summary>
    /// <param name="copy">The weights; grids of whole rows are fitted to them as they are now.</param>
    /// <param name="options">What the grids are.</param>
    /// <param name="columns">The first columns, which grids are fitted to; those behind have no part in them.</param>
    public UniformColumns(WorkingCopy copy, CompensatingOptions options, int columns) : this(copy, options.Bits, options.GroupSize, options.ScalePrecision)
    {
        _columns = columns;
        _symmetric = options.Symmetric;
        _search = options.ScaleSearch;
        _wholeRow = options.GroupSize < 0;
        for (int row = 0; _wholeRow && row < copy.Stride; row += WorkingCopy.Strip) FitGroup(0, row);
    }

    /// <summary>Bits of a code.</summary>
    public int Bits { get; }

    /// <summary>Columns of a group.</summary>
    public int GroupSize { get; }

    /// <summary>Groups of a row.</summary>
    public int Groups { get; }

    /// <summary>Precision of the scales, and whether one did not fit it.</summary>
    public ScaleRounding Rounding { get; }

    /// <inheritdoc/>
    public void Quantize(int column, int row, float* weights, float* quantized)
    {
        if (!_wholeRow && column % GroupSize == 0) FitGroup(column, row);
        float* scales = Scales(column, row), zeros = Zeros(column, row);
        byte* codes = Codes(column, row);
        Vector256<float> maxCode = Vector256.Create((float)((1 << Bits) - 1));
        for (int r = 0; r < WorkingCopy.Strip; r += Vector256<float>.Count)
        {
            Vector256<float> scale = Vector256.Load(scales + r), zero = Vector256.Load(zeros + r);
            Vector256<float> code = VectorCodes.EncodeUniform(Vector256.Load(weights + r), scale, zero, maxCode);
            VectorCodes.Store(code, codes + r);
            VectorCodes.DecodeUniform(code, scale, zero).Store(quantized + r);
        }
    }

    /// <summary>The codes of a column from a row on.</summary>
    public byte* Codes(int column, int row) => _copy.Codes + (long)column * _copy.Stride + row;

    /// <summary>The scales of a column's group from a row on.</summary>
    public float* Scales(int column, int row) => _scales + Parameter(column, row);

    /// <summary>The zeros of a column's group from a row on.</summary>
    public float* Zeros(int column, int row) => _zeros + Parameter(column, row);

    /// <summary>The grid of a row and a column's group.</summary>
    public UniformGrid Grid(int column, int row) => new(*Scales(column, row), *Zeros(column, row), (1 << Bits) - 1);

    /// <summary>Sets the grid of a row and a column's group.</summary>
    public void Keep(int column, int row, UniformGrid grid) => (*Scales(column, row), *Zeros(column, row)) = (grid.Scale, grid.Zero);

    /// <summary>The weights of a row and group as they stand in the working copy.</summary>
    /// <param name="column">First column of the group.</param>
    /// <param name="row">The row.</param>
    public float[] Group(int column, int row)
    {
        var group = new float[Math.Min(_columns - column, GroupSize)];
        for (int j = 0; j < group.Length; j++) group[j] = _copy.Weights[(long)(column + j) * _copy.Stride + row];
        return group;
    }

    /// <summary>Codes and grids in the natural order of the columns.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="nested">What the scales were decoded from, where they are codes themselves.</param>
    public UniformCodes ToCodes(WorkerPool pool, NestedScales? nested = null)
    {
        var codes = new UniformCodes(_copy.Rows, _copy.Columns, Bits, GroupSize, _copy.Order is { } order ? GroupOfColumn(order) : null) { Nested = nested };
        _copy.CopyCodesTo(pool, codes.Codes);
        for (int r = 0; r < codes.Rows; r++)
            for (int g = 0; g < Groups; g++)
            {
                UniformGrid grid = Grid(g * GroupSize, r);
                codes.Scales[r * Groups + g] = grid.Scale;
                codes.Zeros[r * Groups + g] = (byte)grid.Zero;
            }
        return codes;
    }

    /// <inheritdoc/>
    public void Dispose() => _parameters.Dispose();

    private long Parameter(int column, int row) => (long)(column / GroupSize) * _copy.Stride + row;

    // Groups are consecutive in the order of the working copy.
    private int[] GroupOfColumn(int[] order)
    {
        var groups = new int[order.Length];
        for (int j = 0; j < order.Length; j++) groups[order[j]] = j / GroupSize;
        return groups;
    }

    // The grid of every row of a strip, from the columns of the group as they stand in the working copy.
    private void FitGroup(int column, int row)
    {
        if (_search != ScaleSearch.MinMax)
        {
            for (int r = row; r < row + WorkingCopy.Strip; r++) Keep(column, r, UniformGrid.Fit(Group(column, r), Bits, _symmetric, Rounding, _search));
            return;
        }
        int end = Math.Min(_columns, column + GroupSize);
        for (int r = row; r < row + WorkingCopy.Strip; r += Vector256<float>.Count)
        {
            Vector256<float> min = default, max = default;
            for (int j = column; j < end; j++)
            {
                Vector256<float> w = Vector256.Load(_copy.Weights + (long)j * _copy.Stride + r);
                min = Vector256.Min(min, w);
                max = Vector256.Max(max, w);
            }
            for (int i = 0; i < Vector256<float>.Count; i++) Keep(column, r + i, UniformGrid.FromRange(min[i], max[i], Bits, _symmetric, Rounding));
        }
    }
}
