using System;
using System.Collections.Generic;
using System.Collections.Immutable;

namespace Lowbit.Quantization.Grids;

/// <summary>
/// Levels in [−1, 1] that a block of weights, divided by its largest absolute value, is rounded to. The tables are those of
/// bitsandbytes.
/// </summary>
/// <param name="Levels">The levels by their codes.</param>
public sealed record CodeTable(ImmutableArray<float> Levels)
{
    private readonly (float Level, int Code)[] _sorted = Sort(Levels);

    /// <summary>
    /// NF4 of QLoRA (arXiv 2305.14314, appendix E): the quantiles of a normal distribution that make all 16 codes equally
    /// likely, zero among them, divided by the largest.
    /// </summary>
    public static CodeTable NormalFloat4 { get; } = new(
    [
        -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
        0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1,
    ]);

    /// <summary>
    /// SF4 (arXiv 2405.03103): NF4's construction with the quantiles of Student's t distribution of 5 degrees of freedom, whose
    /// tails are nearer to those of weights.
    /// </summary>
    public static CodeTable StudentFloat4 { get; } = new(Student());

    /// <summary>FP4 with 2 exponent bits and 1 fraction bit as bitsandbytes orders it, divided by its largest value 12; codes 8 to 15 are negative.</summary>
    public static CodeTable Float4 { get; } = new(
    [
        0, 0.0625f / 12, 8f / 12, 12f / 12, 4f / 12, 6f / 12, 2f / 12, 3f / 12,
        -0f, -0.0625f / 12, -8f / 12, -12f / 12, -4f / 12, -6f / 12, -2f / 12, -3f / 12,
    ]);

    /// <summary>
    /// The signed 8-bit dynamic map (arXiv 1511.04561, 2110.02861): for each of seven powers of ten down from 1, half as many
    /// levels as for the one above, at the middles of equal steps from 0.1 to 1; and 0 and 1.
    /// </summary>
    public static CodeTable Dynamic8 { get; } = new(Dynamic());

    /// <summary>The code of the nearest level; of two equally near ones the lower level, of equal levels the lower code.</summary>
    /// <param name="value">In [−1, 1].</param>
    public int Encode(float value)
    {
        int low = 0, high = _sorted.Length - 1; // the nearest level is between
        while (high - low > 1)
        {
            int middle = (low + high) / 2;
            if (_sorted[middle].Level <= value) low = middle;
            else high = middle;
        }
        return MathF.Abs(_sorted[high].Level - value) < MathF.Abs(_sorted[low].Level - value) ? _sorted[high].Code : _sorted[low].Code;
    }

    // Eight evenly spaced probabilities from δ to 1/2 and nine from 1/2 to 1 − δ, δ = (1/32 + 1/30) / 2, over the largest quantile.
    private static ImmutableArray<float> Student()
    {
        const double Delta = (1 / 32.0 + 1 / 30.0) / 2;
        var levels = new float[16];
        double largest = StudentQuantile(1 - Delta);
        for (int i = 0; i < 7; i++) levels[i] = (float)(StudentQuantile(Delta + (0.5 - Delta) * i / 7) / largest);
        for (int i = 1; i <= 8; i++) levels[7 + i] = (float)(StudentQuantile(0.5 + (0.5 - Delta) * i / 8) / largest);
        return [.. levels];
    }

    // The inverse of F(t) = 1/2 + (θ + (cos θ + 2/3 cos³ θ) sin θ) / π with tan θ = t / √5, by bisection over θ.
    private static double StudentQuantile(double probability)
    {
        double low = -Math.PI / 2, high = Math.PI / 2;
        for (int i = 0; i < 100; i++)
        {
            double angle = (low + high) / 2, cosine = Math.Cos(angle);
            double share = 0.5 + (angle + (cosine + 2.0 / 3 * cosine * cosine * cosine) * Math.Sin(angle)) / Math.PI;
            if (share < probability) low = angle;
            else high = angle;
        }
        return Math.Sqrt(5) * Math.Tan((low + high) / 2);
    }

    private static ImmutableArray<float> Dynamic()
    {
        const int Powers = 7;
        List<float> levels = [0, 1];
        for (int i = 0; i < Powers; i++)
        {
            int count = 1 << i;
            double power = Math.Pow(10, i - Powers + 1);
            for (int k = 0; k < count; k++)
            {
                float level = (float)(power * (0.1 + 0.9 * (k + 0.5) / count));
                levels.Add(level);
                levels.Add(-level);
            }
        }
        levels.Sort();
        return [.. levels];
    }

    // Distinct levels in rising order.
    private static (float Level, int Code)[] Sort(ImmutableArray<float> levels)
    {
        SortedDictionary<float, int> codes = [];
        for (int code = 0; code < levels.Length; code++) codes.TryAdd(levels[code] + 0f, code); // +0 turns −0 into 0
        List<(float, int)> sorted = [];
        foreach ((float level, int code) in codes) sorted.Add((level, code));
        return [.. sorted];
    }
}
