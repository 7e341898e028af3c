using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>What must hold of any sequence, whatever the weights.</summary>
public sealed class SessionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public void Dispose()
    {
        _folder.Dispose();
        _pool.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public void LogitsDoNotDependOnHowTheTextIsCutIntoBatches(int batch)
    {
        using LanguageModel model = Open();
        int[] ids = TinyLlama.Ids(40);
        float[] whole = Last(model, _pool, ids, 64);
        float[] pieces = Last(model, _pool, ids, batch);
        AssertClose(whole, pieces, 1e-5f);
    }

    [Fact]
    public void LogitsAreTheSameToTheLastBitWithAnyNumberOfThreads()
    {
        using LanguageModel model = Open();
        int[] ids = TinyLlama.Ids(40);
        using WorkerPool one = new(1), three = new(3);
        float[] expected = Last(model, one, ids, 64);
        Assert.Equal(expected, Last(model, _pool, ids, 64));
        Assert.Equal(expected, Last(model, three, ids, 64));
    }

    [Theory]
    [InlineData(ElementFormat.F16, 1e-3f)]
    [InlineData(ElementFormat.Q8_0, 4e-2f)]
    [InlineData(ElementFormat.Q4_0, 0.6f)]
    public void ASmallerCacheRoundsAndDoesNothingElse(ElementFormat cache, float tolerance)
    {
        using LanguageModel model = Open();
        int[] ids = TinyLlama.Ids(40);
        using WorkerPool three = new(3);
        float[] floats = Last(model, _pool, ids, 64), whole = Last(model, _pool, ids, 64, cache);
        AssertClose(floats, whole, tolerance);
        Assert.NotEqual(floats, whole);
        AssertClose(whole, Last(model, _pool, ids, 1, cache), tolerance / 4); // a sum in another order may round to another code
        Assert.Equal(whole, Last(model, three, ids, 64, cache));
    }

    [Fact]
    public void TheCacheHasTheBytesOfItsFormat()
    {
        using LanguageModel model = Open();
        long Bytes(ElementFormat cache)
        {
            using Session session = new(model, _pool, 64, ActivationMode.Float, cache: cache);
            return session.CacheBytes;
        }
        const long elements = 2L * TinyLlama.Blocks * 64 * TinyLlama.KvHeads * TinyLlama.HeadDim;
        Assert.Equal([elements * 4, elements * 2, elements / 32 * 34, elements / 32 * 18], [.. CacheRows.Formats.Select(Bytes)]);
    }

    [Fact]
    public unsafe void ForwardAllGivesEveryPositionOnce()
    {
        using LanguageModel model = Open();
        int[] ids = TinyLlama.Ids(50);
        using Session session = new(model, _pool, 64, ActivationMode.Float, batch: 16);
        int next = 0;
        float[] last = new float[TinyLlama.Vocabulary];
        session.ForwardAll(ids, (first, logits, tokens) =>
        {
            Assert.Equal(next, first);
            next += tokens;
            new ReadOnlySpan<float>(logits + (tokens - 1) * TinyLlama.Vocabulary, TinyLlama.Vocabulary).CopyTo(last);
        });
        Assert.Equal(50, next);
        AssertClose(Last(model, _pool, ids, 16), last, 1e-5f);
    }

    [Fact]
    public void TruncateGoesBackToAnEarlierLength()
    {
        using LanguageModel model = Open();
        int[] ids = TinyLlama.Ids(20);
        using Session session = new(model, _pool, 64, ActivationMode.Float);
        float[] expected = new float[TinyLlama.Vocabulary], actual = new float[TinyLlama.Vocabulary];
        session.Forward(ids, expected);
        session.Forward([5, 6, 7], actual);
        session.Truncate(19);
        session.Forward(ids.AsSpan(19), actual);
        AssertClose(expected, actual, 1e-5f);
    }

    [Theory]
    [InlineData(ElementFormat.F32)]
    [InlineData(ElementFormat.F16)]
    [InlineData(ElementFormat.Q8_0)]
    [InlineData(ElementFormat.Q4_0)]
    public void NothingIsAllocatedPerToken(ElementFormat cache)
    {
        using LanguageModel model = Open();
        using Session session = new(model, _pool, 64, ActivationMode.Float, cache: cache);
        float[] logits = new float[TinyLlama.Vocabulary];
        int[] token = [3];
        session.Forward(TinyLlama.Ids(10), logits);
        for (int i = 0; i < 10; i++) session.Forward(token, logits);
        // A collection in the middle counts what was left of the thread's allocation block: the best of several runs counts.
        long fewest = long.MaxValue;
        for (int run = 0; run < 5 && fewest > 0; run++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 5; i++) session.Forward(token, logits);
            fewest = Math.Min(fewest, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, fewest);
    }

    [Fact]
    public void AFullContextIsAClearError()
    {
        using LanguageModel model = Open();
        using Session session = new(model, _pool, 8, ActivationMode.Float);
        float[] logits = new float[TinyLlama.Vocabulary];
        session.Forward(TinyLlama.Ids(8), logits);
        LowbitException error = Assert.Throws<LowbitException>(() => session.Forward([1], logits));
        Assert.Contains("the context of 8 tokens is full", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65)]
    public void AContextThatTheModelHasNotIsAClearError(int context)
    {
        using LanguageModel model = Open();
        LowbitException error = Assert.Throws<LowbitException>(() => new Session(model, _pool, context, ActivationMode.Float));
        Assert.Contains("1 to 64 positions", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(TinyLlama.Vocabulary)]
    public void ATokenOutsideTheVocabularyIsAClearError(int token)
    {
        using LanguageModel model = Open();
        using Session session = new(model, _pool, 8, ActivationMode.Float);
        LowbitException error = Assert.Throws<LowbitException>(() => session.Forward([token], new float[TinyLlama.Vocabulary]));
        Assert.Contains("not in the model's vocabulary", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NaNInAWeightIsNamed()
    {
        const string bad = "model.layers.1.mlp.down_proj.weight";
        using LanguageModel model = Open((name, values) =>
        {
            if (name == bad) values[300] = float.NaN;
            return values;
        });
        using Session session = new(model, _pool, 8, ActivationMode.Float);
        LowbitException error = Assert.Throws<LowbitException>(() => session.Forward([1, 2], new float[TinyLlama.Vocabulary]));
        Assert.Contains($"tensor {bad}, row 2", error.Message, StringComparison.Ordinal);
    }

    private static float[] Last(LanguageModel model, WorkerPool pool, int[] ids, int batch, ElementFormat cache = ElementFormat.F32)
    {
        using Session session = new(model, pool, 64, ActivationMode.Float, batch, cache);
        float[] logits = new float[TinyLlama.Vocabulary];
        session.Forward(ids, logits);
        return logits;
    }

    private static void AssertClose(float[] expected, float[] actual, float tolerance)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"logit {i}: {expected[i]} and {actual[i]}");
    }

    private LanguageModel Open(Func<string, float[], float[]?>? change = null)
    {
        string folder = _folder.File(Guid.NewGuid().ToString("N"));
        TinyLlama.Write(folder, change);
        return LanguageModel.Open(folder);
    }
}
