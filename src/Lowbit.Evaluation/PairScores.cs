using System;
using Lowbit.Core;

namespace Lowbit.Evaluation;

/// <summary>What two models say of the same tokens.</summary>
internal sealed unsafe class PairScores(long tokens)
{
    /// <summary>[tokens], −log p of the token that came, by the base model.</summary>
    public double[] Base { get; } = new double[tokens];

    /// <summary>[tokens], the same by the model.</summary>
    public double[] Model { get; } = new double[tokens];

    /// <summary>[tokens], KL(base‖model).</summary>
    public double[] Divergence { get; } = new double[tokens];

    /// <summary>[tokens], whether both hold the same token for the most probable.</summary>
    public bool[] SameTop { get; } = new bool[tokens];

    /// <summary>Compares rows of logits and keeps the scores from index <paramref name="first"/> on.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="baseLogits">[targets, vocabulary].</param>
    /// <param name="logits">[targets, vocabulary].</param>
    /// <param name="vocabulary">Logits of a row.</param>
    /// <param name="targets">The tokens that came.</param>
    /// <param name="first">Where the scores go.</param>
    public void Compare(WorkerPool pool, float* baseLogits, float* logits, int vocabulary, ReadOnlySpan<int> targets, int first)
    {
        Perplexity.Score(pool, baseLogits, vocabulary, targets, Base.AsSpan(first, targets.Length));
        Perplexity.Score(pool, logits, vocabulary, targets, Model.AsSpan(first, targets.Length));
        fixed (double* divergence = Divergence)
        fixed (bool* sameTop = SameTop)
        {
            var work = new CompareRows { Base = baseLogits, Model = logits, Vocabulary = vocabulary, Divergence = divergence + first, SameTop = sameTop + first };
            pool.Run(ref work, targets.Length, grain: 4);
        }
    }

    /// <summary>Means, percentiles and shares over all tokens.</summary>
    public DivergenceResult Summarize(TimeSpan elapsed)
    {
        double sum = 0, squares = 0;
        int same = 0;
        for (int i = 0; i < Base.Length; i++)
        {
            sum += Divergence[i];
            double change = Math.Exp(-Model[i]) - Math.Exp(-Base[i]);
            squares += change * change;
            if (SameTop[i]) same++;
        }
        double[] sorted = [.. Divergence];
        Array.Sort(sorted);
        return new DivergenceResult(
            PerplexityResult.From(Base, elapsed),
            PerplexityResult.From(Model, elapsed),
            sum / Base.Length,
            DivergenceResult.Percentile(sorted, 0.99),
            (double)same / Base.Length,
            Math.Sqrt(squares / Base.Length));
    }

    private struct CompareRows : IParallelWork
    {
        public float* Base, Model;
        public int Vocabulary;
        public double* Divergence;
        public bool* SameTop;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++)
            {
                float* p = Base + (long)i * Vocabulary, q = Model + (long)i * Vocabulary;
                Divergence[i] = LogProbability.Divergence(p, q, Vocabulary);
                SameTop[i] = LogProbability.ArgMax(p, Vocabulary) == LogProbability.ArgMax(q, Vocabulary);
            }
        }
    }
}
