using System;

namespace Lowbit.Quantization.Grids;

/// <summary>What becomes of the weights that are not salient; the low quantizers of PB-LLM.</summary>
public enum BinaryKind
{
    /// <summary>Two levels around the mean: m ∓ α, the paper's choice. 1 bit.</summary>
    Xnor,
    /// <summary>Two levels, 0 for weights at or below zero and α for those above. 1 bit.</summary>
    Sign,
    /// <summary>Four equally spaced levels from the smallest to the largest weight. 2 bits.</summary>
    TwoBit,
    /// <summary>Zero. No bits; with compensation this is SparseGPT.</summary>
    Prune,
}

/// <summary>Over how many weights the means behind α and m are taken.</summary>
public enum ScaleRule
{
    /// <summary>Over the weights that are binarized, as the paper writes it; the best α in the sense of least squares.</summary>
    Paper,
    /// <summary>
    /// Over the width of the group, where each salient weight counts as zero, as the repository does it: α comes out too
    /// small, by half where half the weights are salient.
    /// </summary>
    Repository,
}

/// <summary>
/// The levels of the low weights of one row and group: code q of <see cref="Bits"/> bits means
/// <see cref="Mean"/> + <see cref="Scale"/> · (2q − (2^bits − 1)).
/// </summary>
/// <param name="Bits">0, 1 or 2.</param>
/// <param name="Mean">Centre of the levels.</param>
/// <param name="Scale">Half the distance between two levels.</param>
/// <param name="Threshold">With one bit, the smallest weight that takes the upper level.</param>
public readonly record struct BinaryGrid(int Bits, float Mean, float Scale, float Threshold)
{
    /// <summary>Bits of a code.</summary>
    public static int BitsOf(BinaryKind kind) => kind switch { BinaryKind.Prune => 0, BinaryKind.TwoBit => 2, _ => 1 };

    /// <summary>Fits the levels to the weights of a group that are not salient.</summary>
    /// <param name="kind">Which levels.</param>
    /// <param name="weights">The group of one row.</param>
    /// <param name="salient">True where a weight is salient.</param>
    /// <param name="rule">Over how many weights means are taken.</param>
    /// <param name="rounding">Precision of scale and mean.</param>
    public static BinaryGrid Fit(BinaryKind kind, ReadOnlySpan<float> weights, ReadOnlySpan<bool> salient, ScaleRule rule, ScaleRounding rounding) => kind switch
    {
        BinaryKind.Xnor => FitXnor(weights, salient, rule, rounding),
        BinaryKind.Sign => FitSign(weights, salient, rule, rounding),
        BinaryKind.TwoBit => FitTwoBit(weights, salient, rounding),
        _ => default,
    };

    // m = mean w, α = mean |w − m|; sign(0) = +1, since one bit cannot hold the reference's third value m.
    private static BinaryGrid FitXnor(ReadOnlySpan<float> weights, ReadOnlySpan<bool> salient, ScaleRule rule, ScaleRounding rounding)
    {
        double sum = 0;
        int low = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            if (salient[j]) continue;
            sum += weights[j];
            low++;
        }
        int count = rule == ScaleRule.Paper ? Math.Max(1, low) : weights.Length;
        double mean = sum / count, deviation = 0;
        for (int j = 0; j < weights.Length; j++)
            if (!salient[j]) deviation += Math.Abs(weights[j] - mean);
        if (rule == ScaleRule.Repository) deviation += (weights.Length - low) * Math.Abs(mean);
        float alpha = rounding.Scale((float)(deviation / count)), m = rounding.Mean((float)mean, alpha);
        return new BinaryGrid(1, m, alpha, m);
    }

    // α = mean max(w, 0); the levels 0 and α lie α/2 about α/2.
    private static BinaryGrid FitSign(ReadOnlySpan<float> weights, ReadOnlySpan<bool> salient, ScaleRule rule, ScaleRounding rounding)
    {
        double sum = 0;
        int low = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            if (salient[j]) continue;
            sum += Math.Max(0, weights[j]);
            low++;
        }
        float half = rounding.Scale((float)(sum / (rule == ScaleRule.Paper ? Math.Max(1, low) : weights.Length)) / 2);
        return new BinaryGrid(1, half, half, float.Epsilon);
    }

    // The asymmetric uniform grid with four levels: s · (q − z) = s · (1.5 − z) + s/2 · (2q − 3).
    private static BinaryGrid FitTwoBit(ReadOnlySpan<float> weights, ReadOnlySpan<bool> salient, ScaleRounding rounding)
    {
        float min = 0, max = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            if (salient[j]) continue;
            min = MathF.Min(min, weights[j]);
            max = MathF.Max(max, weights[j]);
        }
        UniformGrid grid = UniformGrid.FromRange(min, max, 2, symmetric: false, rounding);
        float half = rounding.Scale(grid.Scale / 2);
        return new BinaryGrid(2, rounding.Mean(half * (3 - 2 * grid.Zero), half), half, 0);
    }

    /// <summary>The code of a weight.</summary>
    public float Encode(float weight) => Bits switch
    {
        0 => 0,
        1 => weight >= Threshold ? 1 : 0,
        _ => Math.Clamp(MathF.Round((weight - Mean) / (2 * Scale) + 1.5f), 0, 3),
    };

    /// <summary>The level of a code.</summary>
    public float Decode(float code) => Mean + Scale * (2 * code - ((1 << Bits) - 1));
}
