using System;
using System.Numerics;

namespace Lowbit.Evaluation;

/// <summary>
/// Log-softmax of a row of logits, computed in vectors of double, so that a vocabulary of any size loses nothing and the
/// width of the vectors changes no more than the rounding of double sums.
/// </summary>
public static unsafe class LogProbability
{
    /// <summary>log Σ exp(logits[i]).</summary>
    /// <param name="logits">[<paramref name="vocabulary"/>].</param>
    /// <param name="vocabulary">Number of logits.</param>
    /// <returns>The normaliser in nats; not a number where a logit is none.</returns>
    public static double LogSumExp(float* logits, int vocabulary)
    {
        float max = Max(logits, vocabulary);
        return max + Math.Log(SumExp(logits, vocabulary, max));
    }

    /// <summary>−log p(token).</summary>
    /// <param name="logits">[<paramref name="vocabulary"/>].</param>
    /// <param name="vocabulary">Number of logits.</param>
    /// <param name="token">The token that came.</param>
    /// <returns>Negative log-likelihood in nats.</returns>
    public static double NegativeLogLikelihood(float* logits, int vocabulary, int token)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(token);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, vocabulary);
        return LogSumExp(logits, vocabulary) - logits[token];
    }

    /// <summary>KL(p‖q) = Σ pᵢ·(log pᵢ − log qᵢ), where p and q are the softmax of two rows of logits.</summary>
    /// <param name="p">[<paramref name="vocabulary"/>], logits of the distribution that is taken for true.</param>
    /// <param name="q">[<paramref name="vocabulary"/>], logits of the one that stands for it.</param>
    /// <param name="vocabulary">Number of logits.</param>
    /// <returns>Divergence in nats, never negative.</returns>
    public static double Divergence(float* p, float* q, int vocabulary)
    {
        // With l = logits and Z = Σ exp l: KL = Σ exp(lp − max)·(lp − lq) / Σ exp(lp − max) − log Zp + log Zq.
        float max = Max(p, vocabulary);
        Vector<double> maxes = new(max), weights = Vector<double>.Zero, weighted = Vector<double>.Zero;
        int i = 0;
        for (; i <= vocabulary - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Widen(Vector.Load(p + i), out Vector<double> lowP, out Vector<double> highP);
            Vector.Widen(Vector.Load(q + i), out Vector<double> lowQ, out Vector<double> highQ);
            Vector<double> low = Vector.Exp(lowP - maxes), high = Vector.Exp(highP - maxes);
            weights += low + high;
            weighted += low * (lowP - lowQ) + high * (highP - highQ);
        }
        double weight = Vector.Sum(weights), sum = Vector.Sum(weighted);
        for (; i < vocabulary; i++)
        {
            double e = Math.Exp((double)p[i] - max);
            weight += e;
            sum += e * ((double)p[i] - q[i]);
        }
        double divergence = sum / weight - (max + Math.Log(weight)) + LogSumExp(q, vocabulary);
        return divergence < 0 ? 0 : divergence; // not Math.Max: a logit that is no number must show
    }

    /// <summary>The most probable token; of equal ones the first.</summary>
    public static int ArgMax(float* logits, int vocabulary)
    {
        float max = Max(logits, vocabulary);
        for (int i = 0; i < vocabulary; i++)
        {
            if (logits[i] == max) return i;
        }
        return 0;
    }

    private static float Max(float* logits, int vocabulary)
    {
        Vector<float> maxes = new(float.NegativeInfinity);
        int i = 0;
        for (; i <= vocabulary - Vector<float>.Count; i += Vector<float>.Count) maxes = Vector.Max(maxes, Vector.Load(logits + i));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Vector<float>.Count; lane++) max = Math.Max(max, maxes[lane]);
        for (; i < vocabulary; i++) max = Math.Max(max, logits[i]);
        return max;
    }

    private static double SumExp(float* logits, int vocabulary, float max)
    {
        Vector<double> maxes = new(max), sums = Vector<double>.Zero;
        int i = 0;
        for (; i <= vocabulary - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Widen(Vector.Load(logits + i), out Vector<double> low, out Vector<double> high);
            sums += Vector.Exp(low - maxes) + Vector.Exp(high - maxes);
        }
        double sum = Vector.Sum(sums);
        for (; i < vocabulary; i++) sum += Math.Exp((double)logits[i] - max);
        return sum;
    }
}
