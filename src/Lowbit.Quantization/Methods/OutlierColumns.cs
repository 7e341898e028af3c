using System;
using System.Linq;
using Lowbit.Kernels;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Columns in half precision beside a quantized rest: LLM.int8() and OWQ.</summary>
internal static class OutlierColumns
{
    /// <summary>The columns with the largest scores, in rising order; of equal ones those on the left.</summary>
    /// <param name="scores">One a column.</param>
    /// <param name="count">How many.</param>
    public static int[] Largest(double[] scores, int count) =>
        [.. Enumerable.Range(0, scores.Length).OrderByDescending(j => scores[j]).Take(count).Order()];

    /// <summary>[rows, columns taken] of a matrix, in half precision.</summary>
    public static float[] Values(ReadOnlySpan<float> weight, int columns, int[] taken, string layer)
    {
        var values = new float[weight.Length / columns * taken.Length];
        for (int i = 0; i < values.Length; i++) values[i] = HalfPrecision.Round(weight[i / taken.Length * columns + taken[i % taken.Length]], layer);
        return values;
    }

    /// <summary>The sum of both; what is empty is left out.</summary>
    /// <param name="rest">Zero in the columns taken.</param>
    /// <param name="taken">Rising.</param>
    /// <param name="values">[rows, columns taken].</param>
    public static MatrixCodes Beside(MatrixCodes rest, int[] taken, float[] values)
    {
        if (taken.Length == 0) return rest;
        var kept = new CompositeTerm(new SelectedInput(taken), new PlainCodes(rest.Rows, taken.Length, values));
        return new CompositeCodes(rest.Rows, rest.Columns, taken.Length == rest.Columns ? [kept] : [new CompositeTerm(new WholeInput(), rest), kept]);
    }
}
