using System;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// What is stored of a codebook: its levels, or the fewer numbers that they are made of. m is a mean, a and b are scales;
/// levels are listed by their codes, sums are rounded to float32 from left to right.
/// </summary>
public enum LevelForm
{
    /// <summary>2^bits levels.</summary>
    Table,
    /// <summary>One bit: −a, a.</summary>
    Scale,
    /// <summary>One bit: m − a, m + a.</summary>
    MeanScale,
    /// <summary>Two bits, code 3 not used: −a, 0, a.</summary>
    Ternary,
    /// <summary>Two bits, code 3 not used: m − a, m, m + a.</summary>
    MeanTernary,
    /// <summary>Two bits: −a − b, −a + b, a − b, a + b.</summary>
    TwoScales,
    /// <summary>Two bits: m − a − b, m − a + b, m + a − b, m + a + b.</summary>
    MeanTwoScales,
}

/// <summary>Between levels and the numbers that are stored.</summary>
internal static class LevelForms
{
    /// <summary>All forms, those that take the fewest numbers first.</summary>
    public static ReadOnlySpan<LevelForm> BySize =>
        [LevelForm.Scale, LevelForm.Ternary, LevelForm.MeanScale, LevelForm.MeanTernary, LevelForm.TwoScales, LevelForm.MeanTwoScales, LevelForm.Table];

    /// <summary>Whether codes of this width can have the form.</summary>
    public static bool Fits(this LevelForm form, int bits) => form switch
    {
        LevelForm.Table => true,
        LevelForm.Scale or LevelForm.MeanScale => bits == 1,
        _ => bits == 2,
    };

    /// <summary>Whether the last code has no level.</summary>
    public static bool IsTernary(this LevelForm form) => form is LevelForm.Ternary or LevelForm.MeanTernary;

    /// <summary>Numbers that are stored of a codebook.</summary>
    public static int Numbers(this LevelForm form, int bits) => form switch
    {
        LevelForm.Table => 1 << bits,
        LevelForm.Scale or LevelForm.Ternary => 1,
        LevelForm.MeanTwoScales => 3,
        _ => 2,
    };

    /// <summary>Rebuilds the levels.</summary>
    /// <param name="form">What is stored.</param>
    /// <param name="numbers">The stored numbers: levels, or mean before scales.</param>
    /// <param name="levels">[2^bits]; the unused level of a ternary codebook repeats the middle one.</param>
    public static void Expand(this LevelForm form, ReadOnlySpan<float> numbers, Span<float> levels)
    {
        if (form == LevelForm.Table)
        {
            numbers.CopyTo(levels);
            return;
        }
        bool hasMean = form is LevelForm.MeanScale or LevelForm.MeanTernary or LevelForm.MeanTwoScales;
        float m = hasMean ? numbers[0] : 0, a = numbers[hasMean ? 1 : 0], b;
        switch (form)
        {
            case LevelForm.Scale or LevelForm.MeanScale:
                (levels[0], levels[1]) = (m - a, m + a);
                break;
            case LevelForm.Ternary or LevelForm.MeanTernary:
                (levels[0], levels[1], levels[2], levels[3]) = (m - a, m, m + a, m);
                break;
            default:
                b = numbers[^1];
                (levels[0], levels[1], levels[2], levels[3]) = (m - a - b, m - a + b, m + a - b, m + a + b);
                break;
        }
    }

    /// <summary>Finds numbers that rebuild the levels exactly.</summary>
    /// <param name="form">What is to be stored.</param>
    /// <param name="levels">[2^bits]; the last one of a ternary codebook is ignored.</param>
    /// <param name="half">Whether the numbers have to be halves.</param>
    /// <param name="numbers">[<see cref="Numbers"/>].</param>
    /// <returns>Whether there are such numbers.</returns>
    public static bool TryFit(this LevelForm form, ReadOnlySpan<float> levels, bool half, Span<float> numbers)
    {
        double l0 = levels[0], l1 = levels[1], l2 = levels.Length > 2 ? levels[2] : 0, l3 = levels.Length > 3 ? levels[3] : 0;
        switch (form)
        {
            case LevelForm.Table:
                levels.CopyTo(numbers);
                break;
            case LevelForm.Scale:
                numbers[0] = (float)l1;
                break;
            case LevelForm.MeanScale:
                (numbers[0], numbers[1]) = ((float)((l0 + l1) / 2), (float)((l1 - l0) / 2));
                break;
            case LevelForm.Ternary:
                numbers[0] = (float)l2;
                break;
            case LevelForm.MeanTernary:
                (numbers[0], numbers[1]) = ((float)l1, (float)((l2 - l0) / 2));
                break;
            case LevelForm.TwoScales:
                (numbers[0], numbers[1]) = ((float)((l2 + l3) / 2), (float)((l3 - l2) / 2));
                break;
            case LevelForm.MeanTwoScales:
                (numbers[0], numbers[1], numbers[2]) = ((float)((l0 + l1 + l2 + l3) / 4), (float)((l2 + l3 - l0 - l1) / 4), (float)((l1 + l3 - l0 - l2) / 4));
                break;
        }
        foreach (ref float number in numbers)
        {
            if (half) number = (float)(Half)number;
            if (!float.IsFinite(number)) return false;
        }
        Span<float> rebuilt = stackalloc float[levels.Length];
        form.Expand(numbers, rebuilt);
        for (int k = 0; k < levels.Length - (form.IsTernary() ? 1 : 0); k++)
        {
            if (rebuilt[k] != levels[k]) return false;
        }
        return true;
    }
}
