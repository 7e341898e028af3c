using System;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Tests.Methods;

/// <summary>
/// Optimal brain quantization in a fixed order as the textbook has it: after each column the inverse of what is left of
/// the Hessian, no factorization, no blocks, in double precision.
/// </summary>
internal static class Oracle
{
    /// <param name="weight">[rows, columns], overwritten by the levels.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="hessian">Without dead inputs.</param>
    /// <param name="damping">Share of the mean of the diagonal.</param>
    /// <param name="round">(row, column, weight) to level.</param>
    public static void Compensate(double[] weight, int rows, Hessian hessian, double damping, Func<int, int, float, float> round)
    {
        int columns = hessian.Features;
        double ridge = 0;
        for (int j = 0; j < columns; j++) ridge += damping * hessian.Diagonal(j) / columns;
        for (int j = 0; j < columns; j++)
        {
            double[,] inverse = Samples.Inverse(Samples.Trailing(hessian.Span.ToArray(), columns, j, ridge));
            for (int r = 0; r < rows; r++)
            {
                double level = round(r, j, (float)weight[r * columns + j]), error = (weight[r * columns + j] - level) / inverse[0, 0];
                for (int k = j; k < columns; k++) weight[r * columns + k] -= error * inverse[0, k - j];
                weight[r * columns + j] = level;
            }
        }
    }

    public static UniformGrid[] RowGrids(float[] weight, int rows, int columns, int bits, bool symmetric)
    {
        var grids = new UniformGrid[rows];
        for (int r = 0; r < rows; r++)
            grids[r] = UniformGrid.Fit(weight.AsSpan(r * columns, columns), bits, symmetric, new ScaleRounding(ScalePrecision.Float32));
        return grids;
    }
}
