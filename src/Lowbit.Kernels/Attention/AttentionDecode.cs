using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Attention of a few tokens: the positions are cut into splits of fixed length, threads share the splits, and the partial
/// results are joined by their maxima and sums.
/// </summary>
internal static unsafe class AttentionDecode
{
    /// <summary>Positions that one piece of work covers: 128 keys and values of 64 elements are 64 KiB.</summary>
    public const int SplitPositions = 128;

    /// <param name="pool">Threads.</param>
    /// <param name="shape">Heads, scale and window.</param>
    /// <param name="queries">[tokens, heads · headDim].</param>
    /// <param name="keys">[positions, keyValueHeads · headDim].</param>
    /// <param name="values">[positions, keyValueHeads · headDim].</param>
    /// <param name="tokens">New tokens.</param>
    /// <param name="firstPosition">Position of the first.</param>
    /// <param name="output">[tokens, heads · headDim].</param>
    /// <param name="partials">[tokens, splits, heads, headDim + 2]: weighted sum of values, maximum, sum of exponentials.</param>
    public static void Compute(
        WorkerPool pool, in AttentionShape shape, float* queries, float* keys, float* values, int tokens, int firstPosition,
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
        public float* Queries, Keys, Values, Partials;
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
                int group = Shape.Heads / Shape.KeyValueHeads;
                for (int h = keyValueHead * group; h < (keyValueHead + 1) * group; h++) Head(token, split, h, keyValueHead, first, last);
            }
        }

        private readonly void Head(int token, int split, int head, int keyValueHead, int first, int last)
        {
            int headDim = Shape.HeadDim;
            long stride = (long)Shape.KeyValueHeads * headDim;
            float* partial = Partial(token, split, head);
            if (first >= last)
            {
                partial[headDim] = float.NegativeInfinity;
                return;
            }
            float* scores = stackalloc float[SplitPositions];
            ReadOnlySpan<float> query = new(Queries + ((long)token * Shape.Heads + head) * headDim, headDim);
            float* key = Keys + first * stride + (long)keyValueHead * headDim;
            for (int p = 0; p < last - first; p++, key += stride)
                scores[p] = Shape.Scale * VectorMath.Dot(query, new ReadOnlySpan<float>(key, headDim));
            Span<float> weights = new(scores, last - first);
            Attention.Cap(Shape.SoftCap, weights);
            float max = Softmax.Max(weights);
            partial[headDim] = max;
            partial[headDim + 1] = Softmax.Exponentiate(weights, max);
            WeightedSum(scores, last - first, Values + first * stride + (long)keyValueHead * headDim, stride, partial, headDim);
        }

        private static void WeightedSum(float* weights, int count, float* values, long stride, float* sum, int headDim)
        {
            int width = Vector<float>.Count, d = 0;
            for (; d <= headDim - 4 * width; d += 4 * width)
            {
                Vector<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
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
                float total = 0;
                for (int p = 0; p < count; p++) total += weights[p] * values[p * stride + d];
                sum[d] = total;
            }
        }
    }
}
