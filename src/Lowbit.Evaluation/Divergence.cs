using System;
using System.Diagnostics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;

namespace Lowbit.Evaluation;

/// <summary>Divergence of a model from a base model: both read the same windows, chunk by chunk, and are compared token by token.</summary>
public static unsafe class Divergence
{
    private const int Chunk = 128; // tokens whose logits of both models are held at a time

    /// <summary>Compares the models on all windows of a text.</summary>
    /// <param name="baseModel">The model that counts as true.</param>
    /// <param name="model">The one that stands for it.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="baseMode">What the base model's products take.</param>
    /// <param name="mode">What the model's products take.</param>
    /// <param name="text">The text, cut by a protocol; both models have its tokenizer.</param>
    /// <param name="cache">What keys and values of the model are stored as; the base model's are floats.</param>
    /// <param name="progress">Called after every window with the number of windows done and the mean divergence so far.</param>
    /// <param name="cancellation">Stops between two chunks.</param>
    /// <exception cref="LowbitException">The vocabularies differ, or the text has a token that the models do not know.</exception>
    public static DivergenceResult Measure(LanguageModel baseModel, LanguageModel model, WorkerPool pool, ActivationMode baseMode, ActivationMode mode, ScoredText text, ElementFormat cache = ElementFormat.F32, Action<int, double>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        int vocabulary = model.Config.VocabularySize;
        if (baseModel.Config.VocabularySize != vocabulary)
            throw new LowbitException($"the base model has a vocabulary of {baseModel.Config.VocabularySize}, but the model one of {vocabulary}; give --base the model that this one was made from.");
        text.RequireVocabulary(vocabulary);
        using var baseSession = new Session(baseModel, pool, text.Context, baseMode, Math.Min(Chunk, text.Context));
        using var session = new Session(model, pool, text.Context, mode, Math.Min(Chunk, text.Context), cache);
        using var baseLogits = new NativeBuffer((long)Math.Min(Chunk, text.Context) * vocabulary * sizeof(float));
        var scores = new PairScores(text.ScoredTokens);
        float[] unused = new float[vocabulary];
        int scored = 0;
        double sum = 0;
        for (int w = 0; w < text.Windows.Length; w++)
        {
            ScoredWindow window = text.Windows[w];
            baseSession.Reset();
            session.Reset();
            int lead = window.FirstScored - 1; // read, but not scored
            if (lead > 0)
            {
                baseSession.Forward(window.Tokens.AsSpan(0, lead), unused);
                session.Forward(window.Tokens.AsSpan(0, lead), unused);
            }
            for (int position = lead; position < window.Tokens.Length - 1; position += Chunk)
            {
                cancellation.ThrowIfCancellationRequested();
                int length = Math.Min(Chunk, window.Tokens.Length - 1 - position);
                int row = 0;
                baseSession.ForwardAll(window.Tokens.AsSpan(position, length), (_, logits, tokens) =>
                {
                    long bytes = (long)tokens * vocabulary * sizeof(float);
                    Buffer.MemoryCopy(logits, baseLogits.Floats + (long)row * vocabulary, bytes, bytes);
                    row += tokens;
                });
                row = 0;
                int first = position;
                session.ForwardAll(window.Tokens.AsSpan(position, length), (_, logits, tokens) =>
                {
                    scores.Compare(pool, baseLogits.Floats + (long)row * vocabulary, logits, vocabulary, window.Tokens.AsSpan(first + row + 1, tokens), scored);
                    row += tokens;
                    scored += tokens;
                });
            }
            foreach (double divergence in scores.Divergence.AsSpan(scored - window.ScoredTokens, window.ScoredTokens)) sum += divergence;
            progress?.Invoke(w + 1, sum / scored);
        }
        return scores.Summarize(Stopwatch.GetElapsedTime(start));
    }
}
