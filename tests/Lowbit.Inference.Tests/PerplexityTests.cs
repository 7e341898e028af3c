using System;
using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Inference.Tests;

public unsafe class PerplexityTests
{
    [Fact]
    public void ScoresOfAHandMadeDistribution()
    {
        // Three positions, four tokens; probabilities of what came: 1/2, 1/4, 1/8.
        float[] logits = [.. new[] { 0.5, 0.25, 0.125, 0.125, 0.25, 0.25, 0.25, 0.25, 0.125, 0.125, 0.5, 0.25 }.Select(p => (float)Math.Log(p) + 7)];
        double[] scores = new double[3];
        using var pool = new WorkerPool(2);
        fixed (float* p = logits) Perplexity.Score(pool, p, 4, [0, 3, 1], scores);
        PerplexityResult result = PerplexityResult.From(scores, TimeSpan.Zero);
        Assert.Equal(2 * Math.Log(2), result.MeanNegativeLogLikelihood, 6);
        Assert.Equal(4, result.Perplexity, 5);
        Assert.Equal(3, result.ScoredTokens);
        // log 2 · {1, 2, 3}: variance 2/3, divided by n − 1 = 2.
        Assert.Equal(Math.Log(2) * Math.Sqrt(1 / 3.0), result.StandardError, 6);
    }

    [Fact]
    public void ScoresDoNotDependOnThreads()
    {
        var random = new Random(1);
        float[] logits = [.. Enumerable.Range(0, 37 * 101).Select(_ => random.NextSingle())];
        int[] targets = [.. Enumerable.Range(0, 37).Select(i => i * 2)];
        double[] one = new double[37], three = new double[37];
        using WorkerPool alone = new(1), pool = new(3);
        fixed (float* p = logits)
        {
            Perplexity.Score(alone, p, 101, targets, one);
            Perplexity.Score(pool, p, 101, targets, three);
        }
        Assert.Equal(one, three);
    }

    [Fact]
    public void PairsOfModelsAreComparedTokenByToken()
    {
        // Token 0: equal distributions. Token 1: (3/4, 1/4) against (1/4, 3/4).
        float[] one = [.. new[] { 0.5, 0.5, 0.75, 0.25 }.Select(p => (float)Math.Log(p))];
        float[] two = [.. new[] { 0.5, 0.5, 0.25, 0.75 }.Select(p => (float)Math.Log(p))];
        var scores = new PairScores(2);
        using var pool = new WorkerPool(1);
        fixed (float* p = one, q = two) scores.Compare(pool, p, q, 2, [0, 0], 0);
        DivergenceResult result = scores.Summarize(TimeSpan.Zero);
        double divergence = 0.5 * Math.Log(3);
        Assert.Equal(divergence / 2, result.MeanDivergence, 6);
        Assert.Equal(0.99 * divergence, result.Divergence99, 6);
        Assert.Equal(0.5, result.TopAgreement);
        Assert.Equal(Math.Sqrt(0.125), result.ProbabilityChange, 6);
        Assert.Equal(Math.Exp(-(Math.Log(0.5) + Math.Log(0.75)) / 2), result.Base.Perplexity, 5);
    }

    [Theory]
    [InlineData(PerplexityProtocol.Gptq)]
    [InlineData(PerplexityProtocol.LlamaCpp)]
    public void AModelIsScoredAsTokenByTokenReadingWould(PerplexityProtocol protocol)
    {
        using var tiny = new TinyModel();
        using LanguageModel model = LanguageModel.Open(tiny.Path);
        using var pool = new WorkerPool(2);
        ScoredText text = ScoredText.Create(File.ReadAllText(tiny.Text), TokenizerLoader.Load(tiny.Path), protocol, context: 48, windows: 3);
        double sum = 0;
        float[] logits = new float[model.Config.VocabularySize];
        using var session = new Session(model, pool, 48, ActivationMode.Float);
        foreach (ScoredWindow window in text.Windows)
        {
            session.Reset();
            if (protocol == PerplexityProtocol.LlamaCpp) Assert.Equal(1, window.Tokens[0]); // the begin token
            for (int i = 0; i < window.Tokens.Length - 1; i++)
            {
                session.Forward([window.Tokens[i]], logits);
                if (i + 1 < window.FirstScored) continue;
                double total = 0;
                foreach (float logit in logits) total += Math.Exp(logit);
                sum += Math.Log(total) - logits[window.Tokens[i + 1]];
            }
        }
        PerplexityResult result = Perplexity.Measure(model, pool, ActivationMode.Float, text);
        Assert.Equal(protocol == PerplexityProtocol.Gptq ? 3 * 47 : 3 * 23, result.ScoredTokens);
        Assert.Equal(sum / result.ScoredTokens, result.MeanNegativeLogLikelihood, 5);
        DivergenceResult both = Divergence.Measure(model, model, pool, ActivationMode.Float, ActivationMode.Float, text);
        Assert.Equal(result.MeanNegativeLogLikelihood, both.Model.MeanNegativeLogLikelihood, 5);
        Assert.InRange(both.MeanDivergence, 0, 1e-9);
    }

    [SharedTheory]
    [InlineData(ElementFormat.F16, 0.001)]
    [InlineData(ElementFormat.Q8_0, 0.002)]
    [InlineData(ElementFormat.Q4_0, 0.06)]
    public void ASmallerCacheCostsLittle(ElementFormat cache, double bound)
    {
        string path = Shared.Path("models", "TinyStories-656K");
        using LanguageModel model = LanguageModel.Open(path);
        using var pool = new WorkerPool(2);
        ScoredText text = ScoredText.Create(File.ReadAllText(Shared.Path("data", "tinystories", "stories.eval.txt")), TokenizerLoader.Load(path), PerplexityProtocol.Gptq, context: 512, windows: 8);
        double floats = Perplexity.Measure(model, pool, ActivationMode.Float, text).Perplexity, small = Perplexity.Measure(model, pool, ActivationMode.Float, text, cache).Perplexity;
        Assert.NotEqual(floats, small);
        Assert.Equal(floats, small, bound * floats);
    }

    [Fact]
    public void ACacheOfBlocksWantsRowsOfBlocks()
    {
        using var tiny = new TinyModel(); // two key-value heads of 8
        using LanguageModel model = LanguageModel.Open(tiny.Path);
        using var pool = new WorkerPool(1);
        LowbitException error = Assert.Throws<LowbitException>(() => new Session(model, pool, 48, ActivationMode.Float, cache: ElementFormat.Q8_0));
        Assert.Contains("has keys of 16 elements, expected a multiple of 32; use --cache f16", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PercentilesInterpolate()
    {
        Assert.Equal(7, DivergenceResult.Percentile([7], 0.99));
        Assert.Equal(2.5, DivergenceResult.Percentile([1, 2, 3, 4], 0.5));
        Assert.Equal(4, DivergenceResult.Percentile([1, 2, 3, 4], 1));
    }

    [Fact]
    public void TheMemoryOfThisMachineCanBeRead()
    {
        using var pool = new WorkerPool(2);
        Assert.InRange(MemoryBandwidth.Measure(pool, passes: 1), 1e7, 1e13);
    }
}
