using System;
using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Attention of a few tokens: the positions are cut into splits of fixed length, threads share the splits, and the partial
/// results are joined by their maxima and sums. Rows of the cache are read whole, in their order, and once for all heads:
/// the parts of one head lie so far apart that each of them would have to be waited for.
/// </summary>
internal static unsafe class AttentionDecode
{
    /// <summary>Positions that one piece of work covers.</summary>
    public const int SplitPositions = 32;

    private const int ReadFloats = 4096; // of rows that all heads pass while they lie in the first cache
    private const int Tile = 8; // keys whose products, and vectors of a value whose sums, stay in registers

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
        pool.Run(ref work, tokens * splits, 1);
        float* factors = (float*)Scratch.Ensure(ref t_scratch, splits * sizeof(float));
        for (int t = 0; t < tokens; t++)
            for (int h = 0; h < shape.Heads; h++) Join(work, t, h, factors, output + ((long)t * shape.Heads + h) * shape.HeadDim);
    }

    private static void Join(in Work work, int token, int head, float* factors, float* output)
    {
        int headDim = work.Shape.HeadDim;
        Span<float> splits = new(factors, work.Splits), result = new(output, headDim);
        for (int s = 0; s < work.Splits; s++) splits[s] = work.Partial(token, s, head)[headDim];
        Softmax.Exponentiate(splits, Softmax.Max(splits));
        float sum = 0;
        for (int s = 0; s < work.Splits; s++) sum += splits[s] * work.Partial(token, s, head)[headDim + 1];
        result.Clear();
        AddWeighted(factors, work.Splits, work.Partial(token, 0, head), work.PartialStride, output, headDim);
        Elementwise.Scale(1 / sum, result);
    }

    // scores[p] = scale · query · keys[p], a tile of keys at a time; the last tile repeats its last key and fills its scores.
    private static void Score(float* query, float* keys, long stride, int count, float scale, int headDim, float* scores)
    {
        int width = Vector<float>.Count;
        for (int p = 0; p < count; p += Tile)
        {
            int last = count - 1 - p;
            float* key0 = keys + p * stride, key1 = key0 + Math.Min(1, last) * stride, key2 = key0 + Math.Min(2, last) * stride, key3 = key0 + Math.Min(3, last) * stride;
            float* key4 = key0 + Math.Min(4, last) * stride, key5 = key0 + Math.Min(5, last) * stride, key6 = key0 + Math.Min(6, last) * stride, key7 = key0 + Math.Min(7, last) * stride;
            Vector<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default, sum4 = default, sum5 = default, sum6 = default, sum7 = default;
            int d = 0;
            for (; d <= headDim - width; d += width)
            {
                Vector<float> x = Vector.Load(query + d);
                sum0 = Vector.MultiplyAddEstimate(x, Vector.Load(key0 + d), sum0);
                sum1 = Vector.MultiplyAddEstimate(x, Vector.Load(key1 + d), sum1);
                sum2 = Vector.MultiplyAddEstimate(x, Vector.Load(key2 + d), sum2);
                sum3 = Vector.MultiplyAddEstimate(x, Vector.Load(key3 + d), sum3);
                sum4 = Vector.MultiplyAddEstimate(x, Vector.Load(key4 + d), sum4);
                sum5 = Vector.MultiplyAddEstimate(x, Vector.Load(key5 + d), sum5);
                sum6 = Vector.MultiplyAddEstimate(x, Vector.Load(key6 + d), sum6);
                sum7 = Vector.MultiplyAddEstimate(x, Vector.Load(key7 + d), sum7);
            }
            if (Avx.IsSupported && width == 8)
            {
                Vector256<float> low = Avx.HorizontalAdd(
                    Avx.HorizontalAdd(sum0.AsVector256(), sum1.AsVector256()), Avx.HorizontalAdd(sum2.AsVector256(), sum3.AsVector256()));
                Vector256<float> high = Avx.HorizontalAdd(
                    Avx.HorizontalAdd(sum4.AsVector256(), sum5.AsVector256()), Avx.HorizontalAdd(sum6.AsVector256(), sum7.AsVector256()));
                (scale * (low.GetLower() + low.GetUpper())).Store(scores + p);
                (scale * (high.GetLower() + high.GetUpper())).Store(scores + p + 4);
            }
            else
            {
                scores[p] = scale * Vector.Sum(sum0);
                scores[p + 1] = scale * Vector.Sum(sum1);
                scores[p + 2] = scale * Vector.Sum(sum2);
                scores[p + 3] = scale * Vector.Sum(sum3);
                scores[p + 4] = scale * Vector.Sum(sum4);
                scores[p + 5] = scale * Vector.Sum(sum5);
                scores[p + 6] = scale * Vector.Sum(sum6);
                scores[p + 7] = scale * Vector.Sum(sum7);
            }
            for (; d < headDim; d++)
                for (int i = 0; i <= Math.Min(last, Tile - 1); i++) scores[p + i] += scale * query[d] * key0[i * stride + d];
        }
    }

    // sum += Σ_p weights[p] · rows[p]
    private static void AddWeighted(float* weights, int count, float* rows, long stride, float* sum, int headDim)
    {
        int width = Vector<float>.Count, d = 0;
        for (; d <= headDim - Tile * width; d += Tile * width)
        {
            float* row = rows + d, total = sum + d;
            Vector<float> sum0 = Vector.Load(total), sum1 = Vector.Load(total + width), sum2 = Vector.Load(total + 2 * width), sum3 = Vector.Load(total + 3 * width);
            Vector<float> sum4 = Vector.Load(total + 4 * width), sum5 = Vector.Load(total + 5 * width), sum6 = Vector.Load(total + 6 * width), sum7 = Vector.Load(total + 7 * width);
            for (int p = 0; p < count; p++, row += stride)
            {
                Vector<float> weight = new(weights[p]);
                sum0 = Vector.MultiplyAddEstimate(weight, Vector.Load(row), sum0);
                sum1 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + width), sum1);
                sum2 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 2 * width), sum2);
                sum3 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 3 * width), sum3);
                sum4 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 4 * width), sum4);
                sum5 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 5 * width), sum5);
                sum6 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 6 * width), sum6);
                sum7 = Vector.MultiplyAddEstimate(weight, Vector.Load(row + 7 * width), sum7);
            }
            sum0.Store(total);
            sum1.Store(total + width);
            sum2.Store(total + 2 * width);
            sum3.Store(total + 3 * width);
            sum4.Store(total + 4 * width);
            sum5.Store(total + 5 * width);
            sum6.Store(total + 6 * width);
            sum7.Store(total + 7 * width);
        }
        for (; d <= headDim - width; d += width)
        {
            Vector<float> total = Vector.Load(sum + d);
            for (int p = 0; p < count; p++) total = Vector.MultiplyAddEstimate(new Vector<float>(weights[p]), Vector.Load(rows + p * stride + d), total);
            total.Store(sum + d);
        }
        for (; d < headDim; d++)
        {
            float total = sum[d];
            for (int p = 0; p < count; p++) total += weights[p] * rows[p * stride + d];
            sum[d] = total;
        }
    }

    private struct Work : IParallelWork
    {
        public AttentionShape Shape;
        public float* Queries, Partials;
        public CacheRows Keys, Values;
        public int FirstPosition, Splits;

        public readonly int PartialStride => Shape.Heads * (Shape.HeadDim + 2);

        public readonly float* Partial(int token, int split, int head) =>
            Partials + ((long)token * Splits + split) * PartialStride + head * (Shape.HeadDim + 2);

        public readonly void Execute(int start, int end)
        {
            for (int item = start; item < end; item++)
            {
                int split = item % Splits, token = item / Splits, position = FirstPosition + token;
                int first = Math.Max(split * SplitPositions, Attention.FirstVisible(Shape, position));
                int last = Math.Min((split + 1) * SplitPositions, position + 1);
                Split(token, split, first, last);
            }
        }

        private readonly void Split(int token, int split, int first, int last)
        {
            int headDim = Shape.HeadDim, heads = Shape.Heads, group = heads / Shape.KeyValueHeads, columns = Keys.Columns;
            int rows = Math.Clamp(ReadFloats / columns / Tile * Tile, Tile, SplitPositions);
            int share = rows * columns / heads; // of the next rows, for each head to ask for while it computes
            float* scores = (float*)Scratch.Ensure(ref t_scratch, ((long)heads * SplitPositions + (long)rows * CacheRows.Room(columns)) * sizeof(float));
            float* room = scores + heads * SplitPositions;
            for (int p = first; p < last; p += rows)
            {
                int count = Math.Min(rows, last - p);
                float* keys = Keys.Read(p, count, 0, columns, room, out long stride);
                for (int h = 0; h < heads; h++)
                {
                    Keys.Prefetch(p + count, h * share, share);
                    Score(Queries + ((long)token * heads + h) * headDim, keys + h / group * headDim, stride, count, Shape.Scale, headDim, scores + h * SplitPositions + (p - first));
                }
            }
            for (int h = 0; h < heads; h++) Weigh(new Span<float>(scores + h * SplitPositions, Math.Max(0, last - first)), Partial(token, split, h));
            for (int p = first; p < last; p += rows)
            {
                int count = Math.Min(rows, last - p);
                float* values = Values.Read(p, count, 0, columns, room, out long stride);
                for (int h = 0; h < heads; h++)
                {
                    Values.Prefetch(p + count, h * share, share);
                    AddWeighted(scores + h * SplitPositions + (p - first), count, values + h / group * headDim, stride, Partial(token, split, h), headDim);
                }
            }
        }

        // Turns scores into e^(score − maximum) and begins a partial result; that of no positions has the maximum −∞.
        private readonly void Weigh(Span<float> scores, float* partial)
        {
            new Span<float>(partial, Shape.HeadDim).Clear();
            Attention.Cap(Shape.SoftCap, scores);
            float max = Softmax.Max(scores);
            partial[Shape.HeadDim] = max;
            partial[Shape.HeadDim + 1] = 0;
            if (float.IsNegativeInfinity(max)) scores.Clear();
            else partial[Shape.HeadDim + 1] = Softmax.Exponentiate(scores, max);
        }
    }
}
