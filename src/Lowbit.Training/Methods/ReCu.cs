// ReCU: Reviving the Dead Weights in Binary Neural Networks
// Xu, Lin, Liu, Chen, Shao, Tian, Gao, Ji; ICCV 2021, arXiv 2103.12369, section 3.2.
//
// Problem   weights far out in the tails never change their sign; they are cut back to a quantile of the row,
//             w' = clamp(w − m, −Q, Q),   Q = −b · ln(2 − 2τ) with b = mean |w − m|: the τ quantile of a Laplace distribution
// Formula   α = mean |w'| of the row, ŵ = α · sign(w')
// Gradient  straight through where |w − m| ≤ Q, zero elsewhere
// Departs   τ stays at 0.99, where the paper lets it grow from 0.85 to 0.99; α is the mean, where the paper learns it.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs of the centred row, whose tails are cut back.</summary>
public sealed class ReCu : IBinarizer
{
    private const double Tau = 0.99;

    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row)
    {
        float mean = RowStatistics.Mean(row), limit = Limit(row, mean);
        double sum = 0;
        foreach (float w in row) sum += MathF.Min(MathF.Abs(w - mean), limit);
        float scale = (float)(sum / row.Length);
        return new BinaryLevels(mean, scale);
    }

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient)
    {
        float mean = RowStatistics.Mean(row);
        RowStatistics.Clip(row, gradient, mean, Limit(row, mean));
    }

    private static float Limit(ReadOnlySpan<float> row, float mean) => -RowStatistics.MeanDistance(row, mean) * (float)Math.Log(2 - 2 * Tau);
}
