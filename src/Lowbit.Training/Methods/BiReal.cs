// Bi-Real Net: Enhancing the Performance of 1-bit CNNs
// Liu, Wu, Luo, Yang, Liu, Cheng; ECCV 2018, arXiv 1808.00278, section 3.3 (magnitude-aware gradient of the weights).
//
// Formula   α = mean |w| of the row, ŵ = α · sign(w), sign(0) = +1
// Gradient  straight through where |w| ≤ 1, zero elsewhere
// Departs   weights alone are binarized, activations stay as they are, so its piecewise quadratic surrogate has no place here.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs times the mean magnitude of the row, with a clipped gradient.</summary>
public sealed class BiReal : IBinarizer
{
    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row)
    {
        float scale = RowStatistics.MeanDistance(row, 0);
        return new BinaryLevels(0, scale);
    }

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient) => RowStatistics.Clip(row, gradient, 0, 1);
}
