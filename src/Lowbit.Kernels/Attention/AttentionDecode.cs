using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Attention of a few tokens: the positions are cut into splits of fixed length, threads share the splits, and the partial
/// results are joined by their maxima and sums. Rows of the cache are read once for all query heads that share them.
/// </summary>
internal static unsafe class AttentionDecode
{
    /// <summary>Positions that one piece of work covers: 128 keys and values of 64 floats are 64 KiB.</summary>
    public const int SplitPositions = 128;

    private const int ReadPositions = 32; // positions that all query heads of a group pass while they lie in the first cache

    [ThreadStatic]
    private static NativeBuffer? t_scratch;

    /// <param name="pool">Threads.</param>
    /// <param name="shape">Heads, scale and window.</param>
    /// <param name="queries">[tokens, heads · headDim].</param>
    /// <param name="keys">Rows of keyValueHeads · headDim.</param>
    /// <param name="values">Rows of keyValueHeads · headDim.</param>
    /// <param name="tokens">New tokens.</param>
    /// <param name="firstPosition">Position of the first.</param>
    /// <param name="output">[tokens, heads · headDim].</param>
    /// <param name="partials">[tokens, splits, heads, headDim + 2]: weighted sum of values, maximum, sum of exponentials.</param>
    public static void Compute(
        WorkerPool pool, in AttentionShape shape, float* queries, CacheRows keys, CacheRows values, int tokens, int firstPosition,
        float* output, float* partials)
    {
        int splits = (firstPosition + tokens + SplitPositions - 1) / SplitPositions;
        Work work = new()
        {
            Shape = shape,
            Queries = queries,
            Keys = keys,
            Values = values,
            FirstPosition = firstPosition,
            Partials = partials,
            Splits = splits,
        };
        pool.Run(ref work, tokens * splits * shape.KeyValueHeads, 1);
        for (int t = 0; t < tokens; t++)
            for (int h = 0; h < shape.Heads; h++) Join(work, t, h, output + ((long)t * shape.Heads + h) * shape.HeadDim);
    }

    private static void Join(in Work work, int token, int head, float* output)
    {
        int headDim = work.Shape.HeadDim;
        float max = float.NegativeInfinity, sum = 0;
        for (int s = 0; s < work.Splits; s++) max = MathF.Max(max, work.Partial(token, s, head)[headDim]);
        Span<float> result = new(output, headDim);
        result.Clear();
        for (int s = 0; s < work.Splits; s++)
        {
            float* partial = work.Partial(token, s, head);
            float factor = MathF.Exp(partial[headDim] - max);
            if (factor == 0) continue; // an empty split has the maximum −∞
            sum += factor * partial[headDim + 1];
            Elementwise.AddScaled(factor, new ReadOnlySpan<float>(partial, headDim), result);
        }
        Elementwise.Scale(1 / sum, result);
    }

    private struct Work : IParallelWork
    {
        public AttentionShape Shape;
        public float* Queries, Partials;
        public CacheRows Keys, Values;
        public int FirstPosition, Splits;

        public readonly float* Partial(int token, int split, int head) =>
            Partials + (((long)token * Splits + split) * Shape.Heads + head) * (Shape.HeadDim + 2);

        public readonly void Execute(int start, int end)
        {
            for (int item = start; item < end; item++)
            {
                int keyValueHead = item % Shape.KeyValueHeads, split = item / Shape.KeyValueHeads % Splits, token = item / Shape.KeyValueHeads / Splits;
                int position = FirstPosition + token;
                int first = Math.Max(split * SplitPositions, Attention.FirstVisible(Shape, position));
                int last = Math.Min((split + 1) * SplitPositions, position + 1);
                Group(token, split, keyValueHead, first, last);
            }
        }

        // The query heads of a key-value head.
        private readonly void Group(int token, int split, int keyValueHead, int first, int last)
        {
            int headDim = Shape.HeadDim, heads = Shape.Heads / Shape.KeyValueHeads, firstHead = keyValueHead * heads;
            float* scores = (float*)Scratch.Ensure(ref t_scratch, ((long)heads * SplitPositions + ReadPositions * CacheRows.Room(headDim)) * sizeof(float));
            float* room = scores + heads * SplitPositions;
            for (int p = first; p < last; p += ReadPositions)
            {
                int count = Math.Min(ReadPositions, last - p);
                float* key = Keys.Read(p, count, keyValueHead * headDim, headDim, room, out long stride);
                for (int h = 0; h < heads; h++)
                {
                    float* query = Queries + ((long)token * Shape.Heads + firstHead + h) * headDim;
                    float* score = scores + h * SplitPositions + (p - first);
                    for (int i = 0; i < count; i++) score[i] = Shape.Scale * VectorMath.Dot(query, key + i * stride, headDim);
                }
            }
            for (int h = 0; h < heads; h++) Weigh(new Span<float>(scores + h * SplitPositions, Math.Max(0, last - first)), Partial(token, split, firstHead + h));
            for (int p = first; p < last; p += ReadPositions)
            {
                int count = Math.Min(ReadPositions, last - p);
                float* value = Values.Read(p, count, keyValueHead * headDim, headDim, room, out long stride);
                for (int h = 0; h < heads; h++)
                    AddWeighted(scores + h * SplitPositions + (p - first), count, value, stride, Partial(token, split, firstHead + h), headDim);
            }
        }

        // Turns scores into e^(score − maximum) and begins a partial result; that of no positions has the maximum −∞.
        private readonly void Weigh(Span<float> scores, float* partial)
        {
            new Span<float>(partial, Shape.HeadDim).Clear();
            partial[Shape.HeadDim] = float.NegativeInfinity;
            if (scores.IsEmpty) return;
            Attention.Cap(Shape.SoftCap, scores);
            float max = Softmax.Max(scores);
            partial[Shape.HeadDim] = max;
            partial[Shape.HeadDim + 1] = Softmax.Exponentiate(scores, max);
        }

        private static void AddWeighted(float* weights, int count, float* values, long stride, float* sum, int headDim)
        {
            int width = Vector<float>.Count, d = 0;
            for (; d <= headDim - 4 * width; d += 4 * width)
            {
                Vector<float> sum0 = Vector.Load(sum + d), sum1 = Vector.Load(sum + d + width), sum2 = Vector.Load(sum + d + 2 * width), sum3 = Vector.Load(sum + d + 3 * width);
                float* value = values + d;
                for (int p = 0; p < count; p++, value += stride)
                {
                    Vector<float> weight = new(weights[p]);
                    sum0 = Vector.MultiplyAddEstimate(weight, Vector.Load(value), sum0);
                    sum1 = Vector.MultiplyAddEstimate(weight, Vector.Load(value + width), sum1);
                    sum2 = Vector.MultiplyAddEstimate(weight, Vector.Load(value + 2 * width), sum2);
                    sum3 = Vector.MultiplyAddEstimate(weight, Vector.Load(value + 3 * width), sum3);
                }
                sum0.Store(sum + d);
                sum1.Store(sum + d + width);
                sum2.Store(sum + d + 2 * width);
                sum3.Store(sum + d + 3 * width);
            }
            for (; d < headDim; d++)
            {
                float total = sum[d];
                for (int p = 0; p < count; p++) total += weights[p] * values[p * stride + d];
                sum[d] = total;
            }
        }
    }
}
