// BNN: Binarized Neural Networks
// Hubara, Courbariaux, Soudry, El-Yaniv, Bengio; NeurIPS 2016, arXiv 1602.02830, section 1.
//
// Formula   ŵ = sign(w), sign(0) = +1, no scale
// Gradient  straight through where |w| ≤ 1, zero elsewhere (equation 4)
// Departs   weights alone are binarized, activations stay as they are.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs without a scale.</summary>
public sealed class Bnn : IBinarizer
{
    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row) => new(0, 1);

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient) => RowStatistics.Clip(row, gradient, 0, 1);
}
