using System;
using System.Runtime.Intrinsics;

namespace Lowbit.Quantization.Grids;

/// <summary>What range of its group's weights a uniform grid spans.</summary>
public enum ScaleSearch
{
    /// <summary>All of it.</summary>
    MinMax,
    /// <summary>The share of it with the least Σ (w − ŵ)².</summary>
    Mse,
    /// <summary>The share of it with the least Σ |w − ŵ|^2.4, which minds large errors more; the exponent of GPTQ's repository.</summary>
    Lp,
}

/// <summary>The search for scale and zero of IST-DASLab/gptq (quant.py, <c>mse</c>): ranges of 100 to 21 % of the whole.</summary>
internal static class ScaleSearches
{
    private const double Exponent = 2.4;
    private const int Shares = 80, Grid = 100;

    /// <summary>The grid of the least error, the widest of equals.</summary>
    /// <param name="weights">The group.</param>
    /// <param name="min">Smallest weight, at most 0.</param>
    /// <param name="max">Largest weight, at least 0.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="symmetric">Whether the range is as wide below zero as above.</param>
    /// <param name="search">The error.</param>
    /// <param name="rounding">Precision of the scale.</param>
    public static UniformGrid Least(ReadOnlySpan<float> weights, float min, float max, int bits, bool symmetric, ScaleSearch search, ScaleRounding rounding)
    {
        UniformGrid best = UniformGrid.FromRange(min, max, bits, symmetric, rounding);
        double least = Error(weights, best, search);
        for (int i = 1; i < Shares; i++)
        {
            float share = 1 - i / (float)Grid;
            UniformGrid grid = UniformGrid.FromRange(share * min, share * max, bits, symmetric, rounding);
            double error = Error(weights, grid, search);
            if (error < least) (least, best) = (error, grid);
        }
        if (symmetric) return best;
        for (int step = -1; step <= 1; step += 2)
        {
            UniformGrid grid = best with { Zero = Math.Clamp(best.Zero + step, 0, best.MaxCode) };
            double error = Error(weights, grid, search);
            if (error < least) (least, best) = (error, grid);
        }
        return best;
    }

    private static double Error(ReadOnlySpan<float> weights, UniformGrid grid, ScaleSearch search)
    {
        double sum = 0;
        int i = 0;
        if (search == ScaleSearch.Mse)
        {
            Vector256<float> scale = Vector256.Create(grid.Scale), zero = Vector256.Create(grid.Zero), maxCode = Vector256.Create(grid.MaxCode), sums = default;
            for (; i <= weights.Length - Vector256<float>.Count; i += Vector256<float>.Count)
            {
                Vector256<float> w = Vector256.Create(weights[i..]), lost = w - VectorCodes.DecodeUniform(VectorCodes.EncodeUniform(w, scale, zero, maxCode), scale, zero);
                sums += lost * lost;
            }
            sum = Vector256.Sum(sums);
        }
        for (; i < weights.Length; i++)
        {
            double lost = Math.Abs(weights[i] - grid.Decode(grid.Encode(weights[i])));
            sum += search == ScaleSearch.Mse ? lost * lost : Math.Pow(lost, Exponent);
        }
        return sum;
    }
}
