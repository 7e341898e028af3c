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
        int subs = scales.Length, width = Length / subs, highest = -lowest - 1, largestScale = -smallestScale - 1;
        Span<float> steps = stackalloc float[subs];
        Span<float> tried = stackalloc float[width], found = stackalloc float[Length];
        Span<int> foundScales = stackalloc int[subs];
        float extreme = 0;
        for (int j = 0; j < subs; j++)
        {
            steps[j] = GridSearch.Symmetric(x.Slice(j * width, width), importance.Slice(j * width, width), lowest, highest);
            if (MathF.Abs(steps[j]) > MathF.Abs(extreme)) extreme = steps[j];
        }
        codes.Clear();
        scales.Clear();
        Half best = default;
        double least = GridSearch.Error(x, codes, 0, 0, importance);
        float scale = extreme / smallestScale;
        for (int round = 0; round < MostRounds; round++)
        {
            Half half = HalfScale.Round(scale);
            scale = (float)half;
            if (scale == 0) break;
            double total = 0;
            for (int j = 0; j < subs; j++)
            {
                ReadOnlySpan<float> part = x.Slice(j * width, width), weights = importance.Slice(j * width, width);
                int middle = (int)Math.Clamp(MathF.Round(steps[j] / scale), smallestScale, largestScale);
                float fewest = float.PositiveInfinity;
                for (int s = Math.Max(smallestScale, middle - 1); s <= Math.Min(largestScale, middle + 1); s++)
                {
                    GridSearch.Round(part, scale * s, 0, lowest, highest, tried);
                    float error = GridSearch.Error(part, tried, scale * s, 0, weights);
                    if (!(error < fewest)) continue;
                    (fewest, foundScales[j]) = (error, s);
                    tried.CopyTo(found[(j * width)..]);
                }
                total += fewest;
            }
            if (!(total < least)) break;
            (least, best) = (total, half);
            found.CopyTo(codes);
            foundScales.CopyTo(scales);
            for (int j = 0; j < subs; j++)
                for (int i = j * width; i < (j + 1) * width; i++) found[i] *= foundScales[j];
            (float product, float square) = GridSearch.Moments(x, found, importance);
            if (square == 0) break;
            scale = product / square;
        }
        return best;
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
        Span<float> tried = stackalloc float[width], found = stackalloc float[Length];
        Span<int> foundScales = stackalloc int[subs], foundMinimums = stackalloc int[subs];
        float scale = 0, minimumScale = 0;
        for (int j = 0; j < subs; j++)
        {
            (steps[j], float offset) = GridSearch.Asymmetric(x.Slice(j * width, width), importance.Slice(j * width, width), highest, belowZero: true);
            depths[j] = -offset;
            scale = MathF.Max(scale, steps[j] / largestScale);
            minimumScale = MathF.Max(minimumScale, depths[j] / largestScale);
        }
        codes.Clear();
        scales.Clear();
        minimums.Clear();
        (Half, Half) best = default;
        double least = GridSearch.Error(x, codes, 0, 0, importance);
        for (int round = 0; round < MostRounds; round++)
        {
            (Half Scale, Half MinimumScale) halves = (HalfScale.Round(scale), HalfScale.Round(minimumScale));
            (scale, minimumScale) = ((float)halves.Scale, (float)halves.MinimumScale);
            double total = 0;
            for (int j = 0; j < subs; j++)
            {
                ReadOnlySpan<float> part = x.Slice(j * width, width), weights = importance.Slice(j * width, width);
                int middle = Code(steps[j], scale, largestScale), depth = Code(depths[j], minimumScale, largestScale);
                float fewest = float.PositiveInfinity;
                for (int s = Math.Max(0, middle - 1); s <= Math.Min(largestScale, middle + 1); s++)
                    for (int m = Math.Max(0, depth - 1); m <= Math.Min(largestScale, depth + 1); m++)
                    {
                        float step = scale * s, offset = -(minimumScale * m);
                        GridSearch.Round(part, step, offset, 0, highest, tried);
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
            (scale, minimumScale) = Refit(x, importance, codes, scales, minimums, scale, minimumScale);
        }
        return best;
    }

    private static int Code(float value, float scale, int largest) => scale == 0 ? 0 : (int)Math.Clamp(MathF.Round(value / scale), 0, largest);

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
}
