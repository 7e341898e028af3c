using System;

namespace Lowbit.Evaluation;

/// <summary>How well a model predicts a text.</summary>
/// <param name="MeanNegativeLogLikelihood">Mean of −log p over all scored tokens, nats.</param>
/// <param name="StandardError">Standard error of that mean, were the tokens independent.</param>
/// <param name="ScoredTokens">Number of tokens scored.</param>
/// <param name="Elapsed">Time taken.</param>
public sealed record PerplexityResult(double MeanNegativeLogLikelihood, double StandardError, long ScoredTokens, TimeSpan Elapsed)
{
    /// <summary>exp of the mean negative log-likelihood.</summary>
    public double Perplexity => Math.Exp(MeanNegativeLogLikelihood);

    /// <summary>Standard error of the perplexity, to first order.</summary>
    public double PerplexityError => Perplexity * StandardError;

    /// <summary>Mean and standard error of the scores.</summary>
    internal static PerplexityResult From(ReadOnlySpan<double> scores, TimeSpan elapsed)
    {
        double sum = 0, squares = 0;
        foreach (double score in scores) sum += score;
        double mean = sum / scores.Length;
        foreach (double score in scores) squares += (score - mean) * (score - mean);
        double error = scores.Length > 1 ? Math.Sqrt(squares / scores.Length / (scores.Length - 1)) : 0;
        return new PerplexityResult(mean, error, scores.Length, elapsed);
    }
}
