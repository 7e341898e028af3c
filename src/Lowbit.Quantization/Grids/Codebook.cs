using System;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Grids;

/// <summary>A handful of levels that the weights of a row and a group are rounded to; see <see cref="CodebookCodes"/>.</summary>
/// <remarks>
/// Codebooks are stored in half precision only, so levels that are too small for it are no reason to start again in
/// float32: below its smallest normal number their error counts beside that number.
/// </remarks>
internal static class Codebook
{
    private const float SmallestNormal = 6.1035156e-5f; // of half precision

    /// <summary>Rounds levels to the precision they are stored in. The error of one counts beside the largest.</summary>
    public static void Round(Span<float> levels, ScaleRounding rounding)
    {
        float size = MathF.Max(SmallestNormal, Vectors.Largest(levels));
        foreach (ref float level in levels) level = rounding.Mean(level, size);
    }

    /// <summary>−large, −small, small, large, made of two numbers a ∓ b that are stored.</summary>
    /// <param name="small">Small level.</param>
    /// <param name="large">Large level.</param>
    /// <param name="others">Size of what the levels are added to, beside which their errors count.</param>
    /// <param name="levels">[4].</param>
    /// <param name="rounding">Precision of a and b.</param>
    public static void TwoScales(double small, double large, double others, Span<float> levels, ScaleRounding rounding)
    {
        float size = (float)(Math.Abs(small) + Math.Abs(large) + Math.Abs(others)) + SmallestNormal;
        float a = rounding.Mean((float)((large + small) / 2), size), b = rounding.Mean((float)((large - small) / 2), size);
        (levels[0], levels[1], levels[2], levels[3]) = (-a - b, -a + b, a - b, a + b);
    }

    /// <summary>m − a, m, m + a; m once more for the code that is not used.</summary>
    public static void Ternary(double mean, double scale, Span<float> levels, ScaleRounding rounding)
    {
        float size = (float)(Math.Abs(mean) + Math.Abs(scale)) + SmallestNormal;
        float m = rounding.Mean((float)mean, size), a = rounding.Mean((float)scale, size);
        (levels[0], levels[1], levels[2], levels[3]) = (m - a, m, m + a, m);
    }

    /// <summary>
    /// 0, first, second and their sum, stored as m ∓ a ∓ b with a and b half of them and m = a + b, which half precision holds
    /// too because a and b are rounded to a step of half precision at |a| + |b|.
    /// </summary>
    public static void TwoPlanes(double first, double second, Span<float> levels, ScaleRounding rounding)
    {
        float a = (float)(second / 2), b = (float)(first / 2), size = rounding.Mean(MathF.Abs(a) + MathF.Abs(b), SmallestNormal);
        if (rounding.IsHalf && !rounding.Failed)
        {
            float step = (float)Half.BitIncrement((Half)size) - size;
            (a, b) = (MathF.Round(a / step) * step, MathF.Round(b / step) * step);
        }
        (levels[0], levels[1], levels[2], levels[3]) = (0, 2 * b, 2 * a, 2 * a + 2 * b);
    }

    /// <summary>The code of the nearest of the first levels, the lower of two equally near ones.</summary>
    public static byte Nearest(ReadOnlySpan<float> levels, float weight)
    {
        int best = 0;
        for (int code = 1; code < levels.Length; code++)
            if (MathF.Abs(levels[code] - weight) < MathF.Abs(levels[best] - weight)) best = code;
        return (byte)best;
    }
}
