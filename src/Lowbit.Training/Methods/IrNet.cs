// IR-Net: Forward and Backward Information Retention for Accurate Binary Neural Networks
// Qin, Gong, Liu, Shen, Wei, Yu, Song; CVPR 2020, arXiv 1909.10788, sections 3.2 and 3.3; as hahnyuan/PB-LLM has it (IrBinaryLinear).
//
// Formula   m = mean(w), α = mean |w − m| of the row, ŵ = α · sign(w − m); the mean is not added again
// Gradient  k · t · (1 − tanh²(t (w − m))), k = 10 and t = 0.1
// Departs   from the paper, which divides by the deviation of the row, rounds α to a power of two and lets t grow from 0.1 to 10;
//           the PB-LLM code does none of it, and with weights far below one its gradient is nearly straight through.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs of the centred row, with the slope of a hyperbolic tangent.</summary>
public sealed class IrNet : IBinarizer
{
    private const float K = 10, T = 0.1f;

    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row)
    {
        float mean = RowStatistics.Mean(row), scale = RowStatistics.MeanDistance(row, mean);
        return new BinaryLevels(mean, scale);
    }

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient)
    {
        float mean = RowStatistics.Mean(row);
        for (int i = 0; i < row.Length; i++)
        {
            float tanh = MathF.Tanh(T * (row[i] - mean));
            gradient[i] *= K * T * (1 - tanh * tanh);
        }
    }
}
