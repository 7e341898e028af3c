// XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks
// Rastegari, Ordonez, Redmon, Farhadi; ECCV 2016, arXiv 1603.05279, section 3.1; as hahnyuan/PB-LLM has it (XnorBinaryLinear).
//
// Formula   m = mean(w), α = mean |w − m| of the row, ŵ = α · sign(w − m); the mean is not added again
// Gradient  straight through
// Departs   from the paper, which does not centre and whose gradient has the term 1/n + α; the PB-LLM code centres and has neither.
//           Weights alone are binarized, activations stay as they are.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs of the centred row times its mean magnitude.</summary>
public sealed class Xnor : IBinarizer
{
    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row)
    {
        float mean = RowStatistics.Mean(row), scale = RowStatistics.MeanDistance(row, mean);
        return new BinaryLevels(mean, scale);
    }

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient) { }
}
