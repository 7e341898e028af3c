using System;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>
/// Scales of K-quants: each sub-block is fitted by itself (<see cref="GridSearch"/>); then, in turn, every sub-block takes
/// those of the neighbouring codes of its scale and minimum that cost it least, and the scales of the whole block are
/// fitted to the codes by least squares, as long as that helps.
/// </summary>
internal static class SuperBlockSearch
{
    /// <summary>Weights of a block.</summary>
    public const int Length = 256;

    private const int MostRounds = 6;

    /// <summary>Finds w ≈ (D s_j) q, q from lowest to −lowest − 1.</summary>
    /// <param name="x">256 weights.</param>
    /// <param name="importance">Of each in the sum of squared errors.</param>
    /// <param name="lowest">Smallest code.</param>
    /// <param name="smallestScale">Smallest code of a scale; the largest is −1 − it.</param>
    /// <param name="codes">q.</param>
    /// <param name="scales">s, one for each sub-block.</param>
    /// <returns>D.</returns>
    public static Half Centred(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int lowest, int smallestScale, Span<float> codes, Span<int> scales)
    {
        int subs = scales.Length, width = Length / subs;
        Ranges ranges = new(lowest, -lowest - 1, smallestScale, -smallestScale - 1, LargestMinimum: 0);
        Span<float> steps = stackalloc float[subs], depths = stackalloc float[subs];
        depths.Clear();
        float extreme = 0;
        for (int j = 0; j < subs; j++)
        {
            steps[j] = GridSearch.Symmetric(x.Slice(j * width, width), importance.Slice(j * width, width), ranges.Lowest, ranges.Highest);
            if (MathF.Abs(steps[j]) > MathF.Abs(extreme)) extreme = steps[j];
        }
        return Improve(x, importance, ranges, steps, depths, extreme / smallestScale, 0, codes, scales, stackalloc int[subs]).Scale;
    }

    /// <summary>Finds w ≈ (D s_j) q − M m_j, q from 0 to highest.</summary>
    /// <param name="x">256 weights.</param>
    /// <param name="importance">Of each in the sum of squared errors.</param>
    /// <param name="highest">Largest code.</param>
    /// <param name="largestScale">Largest code of a scale and of a minimum.</param>
    /// <param name="codes">q.</param>
    /// <param name="scales">s, one for each sub-block.</param>
    /// <param name="minimums">m, one for each sub-block.</param>
    /// <returns>D and M.</returns>
    public static (Half Scale, Half MinimumScale) WithMinimums(
        ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int highest, int largestScale, Span<float> codes, Span<int> scales, Span<int> minimums)
    {
        int subs = scales.Length, width = Length / subs;
        Span<float> steps = stackalloc float[subs], depths = stackalloc float[subs];
        float scale = 0, minimumScale = 0;
        for (int j = 0; j < subs; j++)
        {
            (steps[j], float offset) = GridSearch.Asymmetric(x.Slice(j * width, width), importance.Slice(j * width, width), highest, belowZero: true);
            depths[j] = -offset;
            scale = MathF.Max(scale, steps[j] / largestScale);
            minimumScale = MathF.Max(minimumScale, depths[j] / largestScale);
        }
        return Improve(x, importance, new Ranges(0, highest, 0, largestScale, largestScale), steps, depths, scale, minimumScale, codes, scales, minimums);
    }

    // From the steps and depths of the sub-blocks, and from D and M.
    private static (Half Scale, Half MinimumScale) Improve(
        ReadOnlySpan<float> x, ReadOnlySpan<float> importance, Ranges ranges, ReadOnlySpan<float> steps, ReadOnlySpan<float> depths, float scale, float minimumScale,
        Span<float> codes, Span<int> scales, Span<int> minimums)
    {
        int subs = scales.Length, width = Length / subs;
        Span<float> tried = stackalloc float[width], found = stackalloc float[Length];
        Span<int> foundScales = stackalloc int[subs], foundMinimums = stackalloc int[subs];
        codes.Clear();
        scales.Clear();
        minimums.Clear();
        (Half, Half) best = default;
        double least = GridSearch.Error(x, codes, 0, 0, importance);
        for (int round = 0; round < MostRounds; round++)
        {
            (Half Scale, Half MinimumScale) halves = (HalfScale.Round(scale), HalfScale.Round(minimumScale));
            (scale, minimumScale) = ((float)halves.Scale, (float)halves.MinimumScale);
            if (scale == 0 && minimumScale == 0) break;
            double total = 0;
            for (int j = 0; j < subs; j++)
            {
                ReadOnlySpan<float> part = x.Slice(j * width, width), weights = importance.Slice(j * width, width);
                int middle = Code(steps[j], scale, ranges.SmallestScale, ranges.LargestScale), depth = Code(depths[j], minimumScale, 0, ranges.LargestMinimum);
                float fewest = float.PositiveInfinity;
                for (int s = Math.Max(ranges.SmallestScale, middle - 1); s <= Math.Min(ranges.LargestScale, middle + 1); s++)
                    for (int m = Math.Max(0, depth - 1); m <= Math.Min(ranges.LargestMinimum, depth + 1); m++)
                    {
                        float step = scale * s, offset = -(minimumScale * m);
                        GridSearch.Round(part, step, offset, ranges.Lowest, ranges.Highest, tried);
                        float error = GridSearch.Error(part, tried, step, offset, weights);
                        if (!(error < fewest)) continue;
                        (fewest, foundScales[j], foundMinimums[j]) = (error, s, m);
                        tried.CopyTo(found[(j * width)..]);
                    }
                total += fewest;
            }
            if (!(total < least)) break;
            (least, best) = (total, halves);
            found.CopyTo(codes);
            foundScales.CopyTo(scales);
            foundMinimums.CopyTo(minimums);
            if (ranges.LargestMinimum > 0) (scale, minimumScale) = Refit(x, importance, codes, scales, minimums, scale, minimumScale);
            else scale = Refit(x, importance, found, scales, scale);
        }
        return best;
    }

    private static int Code(float value, float scale, int smallest, int largest) => scale == 0 ? 0 : (int)Math.Clamp(MathF.Round(value / scale), smallest, largest);

    // D of least Σ w (x − D s q)²; as it was where all s q are 0. The codes are overwritten.
    private static float Refit(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, Span<float> codes, ReadOnlySpan<int> scales, float scale)
    {
        int width = Length / scales.Length;
        for (int i = 0; i < Length; i++) codes[i] *= scales[i / width];
        (float product, float square) = GridSearch.Moments(x, codes, importance);
        return square == 0 ? scale : product / square;
    }

    // D and M of least Σ w (x − D a + M b)², a = s q and b = m; as they were where codes leave one of them open.
    private static (float Scale, float MinimumScale) Refit(
        ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ReadOnlySpan<float> codes, ReadOnlySpan<int> scales, ReadOnlySpan<int> minimums, float scale, float minimumScale)
    {
        double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
        int width = Length / scales.Length;
        for (int i = 0; i < Length; i++)
        {
            double w = importance[i], a = scales[i / width] * codes[i], b = -minimums[i / width];
            aa += w * a * a;
            ab += w * a * b;
            bb += w * b * b;
            ax += w * a * x[i];
            bx += w * b * x[i];
        }
        double determinant = aa * bb - ab * ab;
        if (determinant > 1e-9 * aa * bb)
        {
            double d = (ax * bb - bx * ab) / determinant, m = (bx * aa - ax * ab) / determinant;
            if (d > 0 && m >= 0) return ((float)d, (float)m);
        }
        return (aa > 0 && bb == 0 && ax > 0 ? (float)(ax / aa) : scale, minimumScale);
    }

    // Of codes, of codes of scales, of codes of minimums from 0 on.
    private readonly record struct Ranges(int Lowest, int Highest, int SmallestScale, int LargestScale, int LargestMinimum);
}
