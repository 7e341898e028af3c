using System;
using Lowbit.Kernels.Codebooks;

namespace Lowbit.Quantization.Grids;

/// <summary>A handful of levels that the weights of a row and a group are rounded to; see <see cref="CodebookCodes"/>.</summary>
internal static class Codebook
{
    /// <summary>Rounds levels to the precision they are stored in. The error of one counts beside the largest.</summary>
    public static void Round(Span<float> levels, ScaleRounding rounding)
    {
        float size = 0;
        foreach (float level in levels) size = MathF.Max(size, MathF.Abs(level));
        foreach (ref float level in levels) level = rounding.Mean(level, size);
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
