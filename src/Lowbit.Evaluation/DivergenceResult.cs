using System;

namespace Lowbit.Evaluation;

/// <summary>How far a model is from the one it stands for, on the scored tokens of a text.</summary>
/// <param name="Base">Perplexity of the base model.</param>
/// <param name="Model">Perplexity of the model.</param>
/// <param name="MeanDivergence">Mean of KL(base‖model) over the scored tokens, nats.</param>
/// <param name="Divergence99">The divergence that 99 % of the tokens stay below.</param>
/// <param name="TopAgreement">Share of tokens where both models hold the same token for the most probable.</param>
/// <param name="ProbabilityChange">Root mean square of the change of the true token's probability.</param>
public sealed record DivergenceResult(PerplexityResult Base, PerplexityResult Model, double MeanDivergence, double Divergence99, double TopAgreement, double ProbabilityChange)
{
    /// <summary>The value below which a share of the values lies, interpolated between neighbours.</summary>
    /// <param name="sorted">Values in ascending order; at least one.</param>
    /// <param name="share">From 0 to 1.</param>
    internal static double Percentile(ReadOnlySpan<double> sorted, double share)
    {
        double position = share * (sorted.Length - 1);
        int below = (int)Math.Floor(position);
        return below + 1 < sorted.Length ? sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
