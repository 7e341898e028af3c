using System;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class AttentionTests
{
    [Theory]
    [InlineData(1, 1, 8, 1, 0, 0, 0f)]
    [InlineData(1, 1, 8, 1, 5, 0, 0f)]
    [InlineData(9, 3, 64, 1, 700, 0, 0f)]
    [InlineData(9, 3, 64, 4, 126, 0, 0f)]
    [InlineData(9, 3, 64, 5, 0, 0, 0f)]
    [InlineData(9, 3, 64, 200, 0, 0, 0f)]
    [InlineData(9, 3, 64, 131, 77, 0, 0f)]
    [InlineData(8, 4, 16, 97, 3, 0, 0f)]
    [InlineData(4, 4, 20, 33, 300, 0, 0f)]
    [InlineData(5, 1, 36, 60, 10, 0, 0f)]
    [InlineData(8, 4, 16, 100, 50, 7, 0f)]
    [InlineData(8, 4, 16, 300, 0, 130, 0f)]
    [InlineData(8, 4, 16, 2, 600, 40, 0f)]
    [InlineData(4, 2, 32, 40, 20, 0, 3f)]
    [InlineData(4, 2, 32, 3, 300, 0, 3f)]
    [InlineData(130, 1, 8, 7, 1, 0, 0f)]
    [InlineData(6, 2, 80, 1, 333, 0, 0f)]
    [InlineData(2, 2, 128, 2, 95, 0, 0f)]
    [InlineData(3, 3, 27, 3, 130, 20, 0f)]
    public void Attention_agrees_with_double_precision(int heads, int keyValueHeads, int headDim, int tokens, int firstPosition, int window, float softCap)
    {
        AttentionShape shape = new(heads, keyValueHeads, headDim, 1 / MathF.Sqrt(headDim), window, softCap);
        int positions = firstPosition + tokens;
        using WorkerPool pool = new(3);
        using WorkerPool single = new(1);
        using Attention attention = new(positions, heads * headDim, heads);
        using NativeBuffer q = TestValues.Random((long)tokens * heads * headDim, 1, 6), k = TestValues.Random((long)positions * keyValueHeads * headDim, 2),
            v = TestValues.Random((long)positions * keyValueHeads * headDim, 3), got = new((long)tokens * heads * headDim * 4), alone = new((long)tokens * heads * headDim * 4);
        attention.Compute(pool, shape, q.Floats, new(k.Floats, keyValueHeads * headDim), new(v.Floats, keyValueHeads * headDim), tokens, firstPosition, got.Floats);
        attention.Compute(single, shape, q.Floats, new(k.Floats, keyValueHeads * headDim), new(v.Floats, keyValueHeads * headDim), tokens, firstPosition, alone.Floats);
        double[] weights = new double[positions];
        for (int t = 0; t < tokens; t++)
        {
            for (int h = 0; h < heads; h++)
            {
                int position = firstPosition + t, first = window == 0 ? 0 : Math.Max(0, position - window + 1), source = h / (heads / keyValueHeads);
                double sum = 0;
                for (int p = first; p <= position; p++)
                {
                    double score = 0;
                    for (int d = 0; d < headDim; d++)
                        score += (double)q.Floats[((long)t * heads + h) * headDim + d] * k.Floats[((long)p * keyValueHeads + source) * headDim + d];
                    score *= shape.Scale;
                    if (softCap != 0) score = softCap * Math.Tanh(score / softCap);
                    sum += weights[p] = Math.Exp(score);
                }
                for (int d = 0; d < headDim; d++)
                {
                    double want = 0;
                    for (int p = first; p <= position; p++) want += weights[p] / sum * v.Floats[((long)p * keyValueHeads + source) * headDim + d];
                    long i = ((long)t * heads + h) * headDim + d;
                    Assert.True(Math.Abs(want - got.Floats[i]) < 3e-6, $"token {t}, head {h}, element {d}: {got.Floats[i]}, expected {want}");
                    Assert.Equal(alone.Floats[i], got.Floats[i]);
                }
            }
        }
    }

    [Fact]
    public void Positions_whose_scores_are_minus_infinity_count_nothing()
    {
        const int Positions = 200, HeadDim = 16;
        AttentionShape shape = new(1, 1, HeadDim, 1);
        using WorkerPool pool = new(2);
        using Attention attention = new(Positions, HeadDim, 1);
        using NativeBuffer k = TestValues.Random(Positions * HeadDim, 1), v = TestValues.Random(Positions * HeadDim, 2), q = new(HeadDim * 4), got = new(HeadDim * 4), want = new(HeadDim * 4);
        for (int d = 0; d < HeadDim; d++) q.Floats[d] = 10;
        for (int i = 0; i < 130 * HeadDim; i++) k.Floats[i] = -3e38f;
        attention.Compute(pool, shape, q.Floats, new(k.Floats, HeadDim), new(v.Floats, HeadDim), 1, Positions - 1, got.Floats);
        attention.Compute(pool, shape, q.Floats, new(k.Floats + 130 * HeadDim, HeadDim), new(v.Floats + 130 * HeadDim, HeadDim), 1, Positions - 131, want.Floats);
        for (int d = 0; d < HeadDim; d++) Assert.Equal(want.Floats[d], got.Floats[d], 1e-5f);
    }

    [Theory]
    [InlineData(ElementFormat.F32, 1)]
    [InlineData(ElementFormat.F32, 40)]
    [InlineData(ElementFormat.F16, 1)]
    [InlineData(ElementFormat.Q8_0, 40)]
    [InlineData(ElementFormat.Q4_0, 1)]
    public void Second_call_allocates_nothing(ElementFormat format, int tokens)
    {
        AttentionShape shape = new(4, 2, 16, 0.25f);
        using WorkerPool pool = new(1);
        using Attention attention = new(200, 64, 4);
        using NativeBuffer x = TestValues.Random(200 * 64, 1), memory = new(200 * 32 * 4), output = new(200 * 64 * 4);
        CacheRows rows = new((nint)memory.Pointer, format, 32);
        attention.Compute(pool, shape, x.Floats, rows, rows, tokens, 100, output.Floats);
        long before = GC.GetAllocatedBytesForCurrentThread();
        attention.Compute(pool, shape, x.Floats, rows, rows, tokens, 100, output.Floats);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Positions_beyond_the_cache_are_refused()
    {
        using WorkerPool pool = new(1);
        using Attention attention = new(10, 64, 4);
        Assert.Throws<ArgumentOutOfRangeException>(() => attention.Compute(pool, new AttentionShape(4, 2, 16, 1), null, new(null, 32), new(null, 32), 1, 10, null));
    }
}
