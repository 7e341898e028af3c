using System;
using System.Numerics;

namespace Lowbit.Evaluation;

/// <summary>
/// Log-softmax of a row of logits. Exponentials are taken in float32 vectors; every sum is kept in double, so that a
/// vocabulary of any size loses nothing. Results do not depend on the width of the vectors by more than the rounding of
/// double sums.
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
        Vector<float> maxes = new(max);
        Vector<double> weights = Vector<double>.Zero, weighted = Vector<double>.Zero;
        int i = 0;
        for (; i <= vocabulary - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> lp = Vector.Load(p + i);
            Vector.Widen(Vector.Exp(lp - maxes), out Vector<double> low, out Vector<double> high);
            Vector.Widen(lp - Vector.Load(q + i), out Vector<double> lowDifference, out Vector<double> highDifference);
            weights += low + high;
            weighted += low * lowDifference + high * highDifference;
        }
        double weight = Vector.Sum(weights), sum = Vector.Sum(weighted);
        for (; i < vocabulary; i++)
        {
            double e = Math.Exp(p[i] - max);
            weight += e;
            sum += e * (p[i] - q[i]);
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
        Vector<float> maxes = new(max);
        Vector<double> sums = Vector<double>.Zero;
        int i = 0;
        for (; i <= vocabulary - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Widen(Vector.Exp(Vector.Load(logits + i) - maxes), out Vector<double> low, out Vector<double> high);
            sums += low + high;
        }
        double sum = Vector.Sum(sums);
        for (; i < vocabulary; i++) sum += Math.Exp(logits[i] - max);
        return sum;
    }
}
