using System;

namespace Lowbit.Quantization.Grids;

/// <summary>
/// Equally spaced levels: code q of 0 to 2^bits − 1 means <see cref="Scale"/> · (q − <see cref="Zero"/>). Fitted to the
/// smallest and the largest weight of a group, as the quantizer of GPTQ does it (arXiv 2210.17323; IST-DASLab/gptq), or to
/// a smaller range (<see cref="ScaleSearch"/>).
/// </summary>
/// <param name="Scale">Step between two levels, above zero.</param>
/// <param name="Zero">The code that means zero, 0 to 2^bits − 1.</param>
/// <param name="MaxCode">2^bits − 1.</param>
public readonly record struct UniformGrid(float Scale, float Zero, float MaxCode)
{
    private const float SmallestNormal = 1.17549435e-38f;

    /// <summary>Fits the grid to a group.</summary>
    /// <param name="weights">The group.</param>
    /// <param name="bits">Bits of a code, 2 to 8.</param>
    /// <param name="symmetric">Whether the range is as wide below zero as above.</param>
    /// <param name="rounding">Precision of the scale.</param>
    /// <param name="search">What range it spans.</param>
    public static UniformGrid Fit(ReadOnlySpan<float> weights, int bits, bool symmetric, ScaleRounding rounding, ScaleSearch search = ScaleSearch.MinMax)
    {
        float min = 0, max = 0; // the range contains zero
        foreach (float w in weights)
        {
            min = MathF.Min(min, w);
            max = MathF.Max(max, w);
        }
        return search == ScaleSearch.MinMax ? FromRange(min, max, bits, symmetric, rounding) : ScaleSearches.Least(weights, min, max, bits, symmetric, search, rounding);
    }

    /// <summary>The grid over a range that contains zero.</summary>
    /// <param name="min">Smallest weight, at most 0.</param>
    /// <param name="max">Largest weight, at least 0.</param>
    /// <param name="bits">Bits of a code, 2 to 8.</param>
    /// <param name="symmetric">
    /// Whether the range is as wide below zero as above. The repository leaves the lower end at 0 when no weight of the
    /// group is negative, and with its fixed zero then cuts the upper half off; here the range is always symmetric.
    /// </param>
    /// <param name="rounding">Precision of the scale.</param>
    public static UniformGrid FromRange(float min, float max, int bits, bool symmetric, ScaleRounding rounding)
    {
        float maxCode = (1 << bits) - 1;
        if (symmetric)
        {
            max = MathF.Max(-min, max);
            min = -max;
        }
        if (!((max - min) / maxCode >= SmallestNormal)) // all zero, or so small that the step underflows
        {
            min = -1;
            max = 1;
        }
        float scale = rounding.Scale((max - min) / maxCode);
        float zero = symmetric ? (maxCode + 1) / 2 : Math.Clamp(MathF.Round(-min / scale), 0, maxCode);
        return new UniformGrid(scale, zero, maxCode);
    }

    /// <summary>The code of the nearest level; halves go to the even multiple of the scale, as torch.round does it.</summary>
    public float Encode(float weight) => Math.Clamp(MathF.Round(weight / Scale) + Zero, 0, MaxCode);

    /// <summary>The level of a code.</summary>
    public float Decode(float code) => Scale * (code - Zero);
}
