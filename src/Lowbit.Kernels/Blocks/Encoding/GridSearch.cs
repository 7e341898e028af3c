using System;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>
/// The step of a few weights on an evenly spaced grid, found by trying ranges and by least squares in turn: with the codes
/// as they are the best step is a quotient of sums, with that step the nearest codes may be others. All lengths are
/// multiples of eight, all sums in an order of their own, so results are the same everywhere.
/// </summary>
internal static class GridSearch
{
    private const int Ranges = 36, MostRounds = 4;

    /// <summary>The nearest integers to x / step within bounds, halves to even; zeros where the step is zero.</summary>
    public static void Round(ReadOnlySpan<float> x, float step, float offset, int lowest, int highest, Span<float> codes)
    {
        float inverse = step == 0 ? 0 : 1 / step;
        if (!float.IsFinite(inverse)) inverse = 0; // a step so small that nothing of it would be left in half precision
        Vector256<float> factor = Vector256.Create(inverse), from = Vector256.Create((float)lowest), to = Vector256.Create((float)highest), shift = Vector256.Create(offset);
        for (int i = 0; i < x.Length; i += Vector256<float>.Count)
            Vector256.Min(Vector256.Max(Vector256.Round((Vector256.Create(x[i..]) - shift) * factor), from), to).CopyTo(codes[i..]);
    }

    /// <summary>The step d for which Σ w (x − d q)² is least, q the nearest of the integers from lowest to highest.</summary>
    /// <param name="x">The weights.</param>
    /// <param name="importance">w, one for each.</param>
    /// <param name="lowest">Smallest code, below zero; −lowest is at least highest.</param>
    /// <param name="highest">Largest code.</param>
    /// <returns>d, of either sign.</returns>
    public static float Symmetric(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int lowest, int highest)
    {
        float largest = 0;
        foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
        if (largest == 0) return 0;
        Span<float> codes = stackalloc float[x.Length];
        float n = -lowest, from = n - 1.5f, to = n * (1 + 1 / MathF.Sqrt(n)), best = 0, most = 0;
        for (int t = 0; t < Ranges; t++)
        {
            float step = largest / (from + (to - from) * t / (Ranges - 1));
            for (int sign = 0; sign < 2; sign++, step = -step)
            {
                float tried = step;
                for (int round = 0; round < MostRounds; round++)
                {
                    Round(x, tried, 0, lowest, highest, codes);
                    (float product, float square) = Moments(x, codes, importance);
                    float gain = square > 0 ? product * product / square : 0; // by which the error is below Σ w x²
                    if (!(gain > most)) break;
                    (most, best) = (gain, product / square);
                    tried = best;
                }
            }
        }
        return best;
    }

    /// <summary>Step and offset for which Σ w (x − d q − m)² is least, q the nearest of the integers from 0 to highest.</summary>
    /// <param name="x">The weights.</param>
    /// <param name="importance">w, one for each.</param>
    /// <param name="highest">Largest code.</param>
    /// <param name="belowZero">Whether m has to be zero or below.</param>
    public static (float Step, float Offset) Asymmetric(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int highest, bool belowZero)
    {
        float min = x[0], max = x[0];
        foreach (float value in x)
        {
            min = MathF.Min(min, value);
            max = MathF.Max(max, value);
        }
        if (belowZero) min = MathF.Min(min, 0);
        if (max <= min) return (0, min);
        Span<float> codes = stackalloc float[x.Length];
        float from = highest - 1f, to = highest * (1 + 1 / MathF.Sqrt(highest + 1f)), bestStep = 0, bestOffset = min;
        double least = double.PositiveInfinity;
        for (int t = 0; t < Ranges; t++)
        {
            float range = from + (to - from) * t / (Ranges - 1), step = (max - min) / range;
            // What does not fit the range is cut off below, on both sides, above.
            for (int side = 0; side < 3; side++)
            {
                (float triedStep, float triedOffset) = (step, min + side * (max - min - step * highest) / 2);
                if (belowZero) triedOffset = MathF.Min(triedOffset, 0);
                for (int round = 0; round < MostRounds; round++)
                {
                    Round(x, triedStep, triedOffset, 0, highest, codes);
                    (triedStep, triedOffset) = Line(x, codes, importance, belowZero);
                    double error = Error(x, codes, triedStep, triedOffset, importance);
                    if (!(error < least)) break;
                    (least, bestStep, bestOffset) = (error, triedStep, triedOffset);
                }
            }
        }
        return (bestStep, bestOffset);
    }

    /// <summary>Σ w x q and Σ w q².</summary>
    public static (float Product, float Square) Moments(ReadOnlySpan<float> x, ReadOnlySpan<float> q, ReadOnlySpan<float> importance)
    {
        Vector256<float> product = default, square = default;
        for (int i = 0; i < x.Length; i += Vector256<float>.Count)
        {
            Vector256<float> code = Vector256.Create(q[i..]), weighted = Vector256.Create(importance[i..]) * code;
            product += weighted * Vector256.Create(x[i..]);
            square += weighted * code;
        }
        return (Vector256.Sum(product), Vector256.Sum(square));
    }

    /// <summary>Σ w (x − d q − m)².</summary>
    public static float Error(ReadOnlySpan<float> x, ReadOnlySpan<float> q, float step, float offset, ReadOnlySpan<float> importance)
    {
        Vector256<float> sum = default, d = Vector256.Create(step), m = Vector256.Create(offset);
        for (int i = 0; i < x.Length; i += Vector256<float>.Count)
        {
            Vector256<float> lost = Vector256.Create(x[i..]) - Vector256.Create(q[i..]) * d - m;
            sum += Vector256.Create(importance[i..]) * lost * lost;
        }
        return Vector256.Sum(sum);
    }

    // The straight line through the pairs (q, x) by least squares.
    private static (float Step, float Offset) Line(ReadOnlySpan<float> x, ReadOnlySpan<float> q, ReadOnlySpan<float> importance, bool belowZero)
    {
        Vector256<float> ones = default, sumX = default, sumQ = default, products = default, squares = default;
        for (int i = 0; i < x.Length; i += Vector256<float>.Count)
        {
            Vector256<float> w = Vector256.Create(importance[i..]), value = Vector256.Create(x[i..]), code = Vector256.Create(q[i..]);
            ones += w;
            sumX += w * value;
            sumQ += w * code;
            products += w * value * code;
            squares += w * code * code;
        }
        double n = Vector256.Sum(ones), sx = Vector256.Sum(sumX), sq = Vector256.Sum(sumQ), sxq = Vector256.Sum(products), sqq = Vector256.Sum(squares);
        double determinant = n * sqq - sq * sq;
        double step = determinant > 0 ? (n * sxq - sq * sx) / determinant : 0, offset = n > 0 ? (sx - step * sq) / n : 0;
        if (!belowZero || offset <= 0) return ((float)step, (float)offset);
        return (sqq > 0 ? (float)(sxq / sqq) : 0, 0);
    }
}
