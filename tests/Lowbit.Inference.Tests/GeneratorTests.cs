using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Inference.Tests;

public sealed class GeneratorTests : IClassFixture<TinyModel>, IDisposable
{
    private const int Context = 24;

    private readonly LanguageModel _model;
    private readonly WorkerPool _pool = new(1);
    private readonly Session _session;

    public GeneratorTests(TinyModel tiny)
    {
        _model = LanguageModel.Open(tiny.Path);
        _session = new Session(_model, _pool, Context, ActivationMode.Float);
    }

    public void Dispose()
    {
        _session.Dispose();
        _pool.Dispose();
        _model.Dispose();
    }

    [Fact]
    public void GreedyTokensAreTheBestOfEveryStep()
    {
        int[] generated = [.. Create().Generate([1, 70, 80], new GenerationOptions { MaxTokens = 6 })];
        using var fresh = new Session(_model, _pool, Context, ActivationMode.Float);
        List<int> sequence = [1, 70, 80];
        float[] logits = new float[_model.Config.VocabularySize];
        for (int i = 0; i < 6; i++)
        {
            fresh.Reset();
            fresh.Forward(sequence.ToArray(), logits);
            sequence.Add(Array.IndexOf(logits, logits.Max()));
        }
        Assert.Equal(sequence[3..], generated);
    }

    [Fact]
    public void AStopTokenIsTheLastOne()
    {
        int[] free = [.. Create().Generate([1, 70, 80], new GenerationOptions { MaxTokens = 8 })];
        int stop = free[4];
        _session.Reset();
        Generator generator = Create();
        int[] stopped = [.. generator.Generate([1, 70, 80], new GenerationOptions { MaxTokens = 8, StopIds = [stop] })];
        Assert.Equal(free[..(Array.IndexOf(free, stop) + 1)], stopped);
        Assert.Equal(StopReason.EndOfText, generator.Statistics.StopReason);
        Assert.Equal(stopped.Length, generator.Statistics.GeneratedTokens);
    }

    [Fact]
    public void AFullContextEndsTheText()
    {
        Generator generator = Create();
        int count = generator.Generate([1, 70, 80], new GenerationOptions { MaxTokens = 100 }).Count();
        Assert.Equal(Context - 3 + 1, count); // the last token needs no room
        Assert.Equal(StopReason.ContextFull, generator.Statistics.StopReason);
    }

    [Fact]
    public void PromptsThatCannotBeReadAreRefusedBeforeAnyWork()
    {
        Generator generator = Create();
        foreach (int[] prompt in new int[][] { [], [1, 9999], [-1], [.. Enumerable.Repeat(5, Context + 1)] })
            Assert.Throws<LowbitException>(() => generator.Generate(prompt, new GenerationOptions()));
        Assert.Equal(0, _session.Position);
    }

    [Fact]
    public void CancellationStopsBetweenTokens()
    {
        using var source = new CancellationTokenSource();
        int seen = 0;
        Assert.Throws<OperationCanceledException>(() =>
        {
            foreach (int _ in Create().Generate([1], new GenerationOptions { MaxTokens = 20 }, source.Token))
            {
                if (++seen == 3) source.Cancel();
            }
        });
        Assert.Equal(3, seen);
    }

    [Fact]
    public void ATokenAllocatesNothing()
    {
        using IEnumerator<int> tokens = Create(new SamplingOptions { Temperature = 1, TopK = 20, TopP = 0.9 }).Generate([1, 70], new GenerationOptions { MaxTokens = 20, StopIds = [300] }).GetEnumerator();
        for (int i = 0; i < 5; i++) tokens.MoveNext();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) tokens.MoveNext();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private Generator Create(SamplingOptions? sampling = null) =>
        new(_session, new Sampler(sampling ?? new SamplingOptions(), _model.Config.VocabularySize));
}
