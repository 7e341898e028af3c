using System;
using System.Diagnostics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;

namespace Lowbit.Evaluation;

/// <summary>Perplexity of a model on a text. Original, dequantized and packed models all pass through here.</summary>
public static unsafe class Perplexity
{
    private const int Batch = 256; // tokens whose logits are held at a time

    /// <summary>Scores all windows of a text.</summary>
    /// <param name="model">The model.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="mode">What the products with packed weights take.</param>
    /// <param name="text">The text, cut by a protocol.</param>
    /// <param name="cache">What keys and values are stored as.</param>
    /// <param name="progress">Called after every window with the number of windows done and the perplexity so far.</param>
    /// <param name="cancellation">Stops between two batches.</param>
    /// <exception cref="LowbitException">The text has a token that the model does not know.</exception>
    public static PerplexityResult Measure(LanguageModel model, WorkerPool pool, ActivationMode mode, ScoredText text, ElementFormat cache = ElementFormat.F32, Action<int, double>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        int vocabulary = model.Config.VocabularySize;
        text.RequireVocabulary(vocabulary);
        using var session = new Session(model, pool, text.Context, mode, Math.Min(Batch, text.Context), cache);
        double[] scores = new double[text.ScoredTokens];
        float[] unused = new float[vocabulary];
        int scored = 0;
        double sum = 0;
        for (int w = 0; w < text.Windows.Length; w++)
        {
            ScoredWindow window = text.Windows[w];
            session.Reset();
            if (window.FirstScored > 1) session.Forward(window.Tokens.AsSpan(0, window.FirstScored - 1), unused);
            int next = window.FirstScored;
            session.ForwardAll(window.Tokens.AsSpan(window.FirstScored - 1, window.ScoredTokens), (_, logits, tokens) =>
            {
                cancellation.ThrowIfCancellationRequested();
                Score(pool, logits, vocabulary, window.Tokens.AsSpan(next, tokens), scores.AsSpan(scored, tokens));
                next += tokens;
                scored += tokens;
            });
            foreach (double score in scores.AsSpan(scored - window.ScoredTokens, window.ScoredTokens)) sum += score;
            progress?.Invoke(w + 1, Math.Exp(sum / scored));
        }
        return PerplexityResult.From(scores, Stopwatch.GetElapsedTime(start));
    }

    /// <summary>−log p(targets[i]) under row i of the logits.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="logits">[targets, <paramref name="vocabulary"/>].</param>
    /// <param name="vocabulary">Logits of a row.</param>
    /// <param name="targets">The tokens that came.</param>
    /// <param name="scores">[targets], nats; overwritten.</param>
    internal static void Score(WorkerPool pool, float* logits, int vocabulary, ReadOnlySpan<int> targets, Span<double> scores)
    {
        fixed (int* target = targets)
        fixed (double* score = scores)
        {
            var work = new ScoreRows { Logits = logits, Vocabulary = vocabulary, Targets = target, Scores = score };
            pool.Run(ref work, targets.Length, grain: 4);
        }
    }

    private struct ScoreRows : IParallelWork
    {
        public float* Logits;
        public int Vocabulary;
        public int* Targets;
        public double* Scores;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++) Scores[i] = LogProbability.NegativeLogLikelihood(Logits + (long)i * Vocabulary, Vocabulary, Targets[i]);
        }
    }
}
