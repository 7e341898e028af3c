using System;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The columns of GPTQ and its descendants: every row and group of consecutive columns, in the order of the working copy,
/// has a uniform grid, fitted when the group's turn comes or, of whole rows, beforehand.
/// </summary>
internal unsafe struct UniformColumns : IColumnQuantizer
{
    public float* Weights, Scales, Zeros; // [columns, stride], [groups, stride], [groups, stride]
    public byte* Codes;
    public int Columns, Stride, GroupSize, Bits;
    public bool WholeRow, Symmetric;
    public ScaleSearch Search;
    public ScaleRounding Rounding;

    public readonly void Quantize(int column, int row, float* weights, float* quantized)
    {
        if (!WholeRow && column % GroupSize == 0) FitGroup(column, row);
        long parameters = (long)(column / GroupSize) * Stride + row;
        byte* codes = Codes + (long)column * Stride + row;
        Vector256<float> maxCode = Vector256.Create((float)((1 << Bits) - 1));
        for (int r = 0; r < WorkingCopy.Strip; r += Vector256<float>.Count)
        {
            Vector256<float> scale = Vector256.Load(Scales + parameters + r), zero = Vector256.Load(Zeros + parameters + r);
            Vector256<float> code = VectorCodes.EncodeUniform(Vector256.Load(weights + r), scale, zero, maxCode);
            VectorCodes.Store(code, codes + r);
            VectorCodes.DecodeUniform(code, scale, zero).Store(quantized + r);
        }
    }

    /// <summary>The grid of every row of a strip, from the columns of the group as they stand in the working copy.</summary>
    /// <param name="column">First column of the group.</param>
    /// <param name="row">First row of the strip.</param>
    public readonly void FitGroup(int column, int row)
    {
        int end = Math.Min(Columns, column + GroupSize);
        if (Search != ScaleSearch.MinMax)
        {
            Span<float> group = new float[end - column];
            for (int r = row; r < row + WorkingCopy.Strip; r++)
            {
                for (int j = column; j < end; j++) group[j - column] = Weights[(long)j * Stride + r];
                Keep(column, r, UniformGrid.Fit(group, Bits, Symmetric, Rounding, Search));
            }
            return;
        }
        for (int r = row; r < row + WorkingCopy.Strip; r += Vector256<float>.Count)
        {
            Vector256<float> min = default, max = default;
            for (int j = column; j < end; j++)
            {
                Vector256<float> w = Vector256.Load(Weights + (long)j * Stride + r);
                min = Vector256.Min(min, w);
                max = Vector256.Max(max, w);
            }
            for (int i = 0; i < Vector256<float>.Count; i++) Keep(column, r + i, UniformGrid.FromRange(min[i], max[i], Bits, Symmetric, Rounding));
        }
    }

    private readonly void Keep(int column, int row, UniformGrid grid)
    {
        long parameters = (long)(column / GroupSize) * Stride + row;
        Scales[parameters] = grid.Scale;
        Zeros[parameters] = grid.Zero;
    }

    /// <summary>Copies scales and zeros.</summary>
    public readonly void CopyGridsTo(UniformCodes codes)
    {
        for (int r = 0; r < codes.Rows; r++)
            for (int g = 0; g < codes.Groups; g++)
            {
                codes.Scales[r * codes.Groups + g] = Scales[(long)g * Stride + r];
                codes.Zeros[r * codes.Groups + g] = (byte)Zeros[(long)g * Stride + r];
            }
    }
}
