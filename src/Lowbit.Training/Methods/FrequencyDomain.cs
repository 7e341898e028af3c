// FDA: Learning Frequency Domain Approximation for Binary Neural Networks
// Xu, Han, Xu, Tang, Xu, Wang; NeurIPS 2021, arXiv 2103.00841, section 3.1; as hahnyuan/PB-LLM has it (FdaBinaryLinear).
//
// Formula   ŵ = sign(w), sign(0) = +1, no scale
// Gradient  that of the Fourier series of a square wave, cut off after n + 1 terms,
//           4ω/π · Σ_{i=0..n} cos((2i + 1) ω w), ω = 0.1 and n = 10; zero where |w| > 1
// Departs   from the paper in the noise module, which learns what the series leaves out, and in fixing n.

using System;

namespace Lowbit.Training.Methods;

/// <summary>Signs without a scale, with the slope of a cut-off Fourier series.</summary>
public sealed class FrequencyDomain : IBinarizer
{
    private const float Omega = 0.1f;
    private const int LastTerm = 10;

    /// <inheritdoc/>
    public BinaryLevels Fit(ReadOnlySpan<float> row) => new(0, 1);

    /// <inheritdoc/>
    public void Backward(ReadOnlySpan<float> row, Span<float> gradient)
    {
        for (int i = 0; i < row.Length; i++)
        {
            float sum = 0;
            for (int term = 0; term <= LastTerm; term++) sum += MathF.Cos((2 * term + 1) * Omega * row[i]);
            gradient[i] *= MathF.Abs(row[i]) > 1 ? 0 : 4 * Omega / MathF.PI * sum;
        }
    }
}
