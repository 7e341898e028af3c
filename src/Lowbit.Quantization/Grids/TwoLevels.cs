using System;

namespace Lowbit.Quantization.Grids;

/// <summary>A grid of one bit: two levels, wherever they serve a group best; codes are those of the nearer one.</summary>
internal static class TwoLevels
{
    /// <summary>Fits the levels.</summary>
    /// <param name="weights">The group.</param>
    /// <param name="symmetric">Whether the levels are −a and a.</param>
    /// <param name="search">The ends of the range, or the levels of the least squared error; of other powers there is no search.</param>
    /// <param name="rounding">Precision of the levels.</param>
    public static (float Low, float High) Fit(ReadOnlySpan<float> weights, bool symmetric, ScaleSearch search, ScaleRounding rounding)
    {
        float[] sorted = weights.ToArray();
        if (symmetric)
        {
            double sum = 0;
            float largest = 0;
            foreach (float w in sorted) (sum, largest) = (sum + MathF.Abs(w), MathF.Max(largest, MathF.Abs(w)));
            float size = rounding.Scale(search == ScaleSearch.MinMax ? largest : (float)(sum / sorted.Length));
            return (-size, size);
        }
        Array.Sort(sorted);
        (float low, float high) = search == ScaleSearch.MinMax ? (sorted[0], sorted[^1]) : Means(sorted);
        float distance = (high - low) / 2;
        return (rounding.Mean(low, distance), rounding.Mean(high, distance));
    }

    // Means of the lower and the upper part, cut where what both explain, (Σ lower)² / k + (Σ upper)² / (n − k), is largest.
    private static (float Low, float High) Means(float[] sorted)
    {
        double total = 0, lower = 0, most = double.NegativeInfinity;
        foreach (float w in sorted) total += w;
        (float, float) means = (sorted[0], sorted[0]);
        for (int k = 1; k < sorted.Length; k++)
        {
            lower += sorted[k - 1];
            int rest = sorted.Length - k;
            double upper = total - lower, explained = lower * lower / k + upper * upper / rest;
            if (!(explained > most)) continue;
            most = explained;
            means = ((float)(lower / k), (float)(upper / rest));
        }
        return means;
    }
}
