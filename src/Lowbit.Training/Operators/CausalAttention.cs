using System;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Training.Operators;

/// <summary>The shape of an attention over a batch of sequences of equal length, all beginning at position 0.</summary>
/// <param name="Sequences">Sequences of the batch.</param>
/// <param name="Length">Tokens of a sequence.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KvHeads">Key and value heads; each serves heads / kvHeads query heads.</param>
/// <param name="HeadDim">Features of a head.</param>
/// <param name="Scale">Factor of the scores.</param>
/// <param name="Window">Keys that a query sees, itself included; 0 for all before it.</param>
internal readonly record struct AttentionGeometry(int Sequences, int Length, int Heads, int KvHeads, int HeadDim, float Scale, int Window)
{
    /// <summary>What drops probabilities, and the place that they have in the model.</summary>
    public (Dropout Dropout, int Place) Dropped { get; init; }
}

/// <summary>
/// Causal attention, forward and backward, tile by tile of queries. The probabilities are not kept: the logarithm of the
/// sum of each row is enough to compute them again (arXiv 2205.14135). With P = softmax(s · QKᵀ), O = PV and
/// D = rowsum(∂O ∘ O): ∂V = Pᵀ∂O, ∂S = s · P ∘ (∂OVᵀ − D), ∂Q = ∂S·K, ∂K = ∂Sᵀ·Q. With dropout factors M it is O = (P ∘ M)V, and
/// M ∘ stands before P in ∂V and before ∂OVᵀ.
/// </summary>
internal static unsafe class CausalAttention
{
    private const int TileRows = 64;

    [ThreadStatic]
    private static NativeBuffer? t_tiles;

    /// <summary>Computes the output of all heads.</summary>
    /// <param name="pool">Threads; they share sequences and key-value heads.</param>
    /// <param name="geometry">The shape.</param>
    /// <param name="query">[sequences · length, heads · headDim].</param>
    /// <param name="key">[sequences · length, kvHeads · headDim].</param>
    /// <param name="value">[sequences · length, kvHeads · headDim].</param>
    /// <param name="output">[sequences · length, heads · headDim], overwritten.</param>
    /// <param name="logSums">[sequences, heads, length], log Σ e^score of every query, overwritten.</param>
    public static void Forward(WorkerPool pool, AttentionGeometry geometry, float* query, float* key, float* value, float* output, float* logSums)
    {
        Work work = new() { G = geometry, Pool = pool, Query = query, Key = key, Value = value, Output = output, LogSums = logSums };
        pool.Run(ref work, geometry.Sequences * geometry.KvHeads, 1);
    }

    /// <summary>Computes the gradients of queries, keys and values.</summary>
    /// <param name="pool">Threads; they share sequences and key-value heads.</param>
    /// <param name="geometry">The shape.</param>
    /// <param name="query">As in the forward pass.</param>
    /// <param name="key">As in the forward pass.</param>
    /// <param name="value">As in the forward pass.</param>
    /// <param name="output">What the forward pass gave.</param>
    /// <param name="logSums">What the forward pass gave.</param>
    /// <param name="outputGradient">Gradient of the output.</param>
    /// <param name="queryGradient">Overwritten.</param>
    /// <param name="keyGradient">Overwritten.</param>
    /// <param name="valueGradient">Overwritten.</param>
    public static void Backward(
        WorkerPool pool, AttentionGeometry geometry, float* query, float* key, float* value, float* output, float* logSums,
        float* outputGradient, float* queryGradient, float* keyGradient, float* valueGradient)
    {
        Work work = new()
        {
            G = geometry,
            Pool = pool,
            Query = query,
            Key = key,
            Value = value,
            Output = output,
            LogSums = logSums,
            OutputGradient = outputGradient,
            QueryGradient = queryGradient,
            KeyGradient = keyGradient,
            ValueGradient = valueGradient,
        };
        pool.Run(ref work, geometry.Sequences * geometry.KvHeads, 1);
    }

    private struct Work : IParallelWork
    {
        public AttentionGeometry G;
        public WorkerPool Pool; // its products run on the calling thread alone
        public float* Query, Key, Value, Output, LogSums;
        public float* OutputGradient, QueryGradient, KeyGradient, ValueGradient; // null on the way forward

        public readonly void Execute(int start, int end)
        {
            float* tile = (float*)Scratch.Ensure(ref t_tiles, 2L * TileRows * G.Length * sizeof(float));
            int group = G.Heads / G.KvHeads;
            for (int item = start; item < end; item++)
            {
                int sequence = item / G.KvHeads, kvHead = item % G.KvHeads;
                if (OutputGradient is not null) ClearKeyValueGradients(sequence, kvHead);
                for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
                {
                    for (int first = 0; first < G.Length; first += TileRows)
                    {
                        if (OutputGradient is null) ForwardTile(sequence, head, kvHead, first, tile);
                        else BackwardTile(sequence, head, kvHead, first, tile);
                    }
                }
            }
        }

        private readonly void ForwardTile(int sequence, int head, int kvHead, int first, float* p)
        {
            Tile tile = new(this, sequence, head, kvHead, first);
            Gemm.MultiplyTransposed(Pool, Query + tile.Queries, tile.QueryStride, Key + tile.Keys, tile.KvStride, p, tile.KeyCount, tile.Rows, tile.KeyCount, G.HeadDim);
            for (int r = 0; r < tile.Rows; r++)
            {
                (int from, int count) = tile.Visible(G, r);
                Span<float> row = new(p + (long)r * tile.KeyCount, tile.KeyCount), visible = row.Slice(from, count);
                Elementwise.Scale(G.Scale, visible);
                float max = Softmax.Max(visible), sum = Softmax.Exponentiate(visible, max);
                Elementwise.Scale(1 / sum, visible);
                row[..from].Clear();
                row[(from + count)..].Clear();
                Drop(tile, sequence, head, r, visible);
                LogSums[tile.Sums + r] = max + MathF.Log(sum);
                new Span<float>(Output + tile.Queries + r * tile.QueryStride, G.HeadDim).Clear();
            }
            Gemm.MultiplyAdd(Pool, 1, p, tile.KeyCount, Value + tile.Keys, tile.KvStride, Output + tile.Queries, tile.QueryStride, tile.Rows, G.HeadDim, tile.KeyCount);
        }

        private readonly void BackwardTile(int sequence, int head, int kvHead, int first, float* p)
        {
            Tile tile = new(this, sequence, head, kvHead, first);
            float* ds = p + (long)TileRows * G.Length;
            Gemm.MultiplyTransposed(Pool, Query + tile.Queries, tile.QueryStride, Key + tile.Keys, tile.KvStride, p, tile.KeyCount, tile.Rows, tile.KeyCount, G.HeadDim);
            Gemm.MultiplyTransposed(Pool, OutputGradient + tile.Queries, tile.QueryStride, Value + tile.Keys, tile.KvStride, ds, tile.KeyCount, tile.Rows, tile.KeyCount, G.HeadDim);
            for (int r = 0; r < tile.Rows; r++)
            {
                (int from, int count) = tile.Visible(G, r);
                Span<float> probabilities = new(p + (long)r * tile.KeyCount, tile.KeyCount), gradients = new(ds + (long)r * tile.KeyCount, tile.KeyCount);
                long query = tile.Queries + r * tile.QueryStride;
                float dot = Elementwise.Dot(new ReadOnlySpan<float>(OutputGradient + query, G.HeadDim), new ReadOnlySpan<float>(Output + query, G.HeadDim));
                Elementwise.Scale(G.Scale, probabilities.Slice(from, count));
                Softmax.Exponentiate(probabilities.Slice(from, count), LogSums[tile.Sums + r]);
                Drop(tile, sequence, head, r, gradients.Slice(from, count));
                ScoreGradients(probabilities.Slice(from, count), gradients.Slice(from, count), dot, G.Scale);
                Drop(tile, sequence, head, r, probabilities.Slice(from, count));
                probabilities[..from].Clear();
                probabilities[(from + count)..].Clear();
                gradients[..from].Clear();
                gradients[(from + count)..].Clear();
                new Span<float>(QueryGradient + query, G.HeadDim).Clear();
            }
            Gemm.MultiplyAdd(Pool, 1, ds, tile.KeyCount, Key + tile.Keys, tile.KvStride, QueryGradient + tile.Queries, tile.QueryStride, tile.Rows, G.HeadDim, tile.KeyCount);
            Gemm.MultiplyLeftTransposedAdd(Pool, ds, tile.KeyCount, Query + tile.Queries, tile.QueryStride, KeyGradient + tile.Keys, tile.KvStride, tile.KeyCount, G.HeadDim, tile.Rows);
            Gemm.MultiplyLeftTransposedAdd(Pool, p, tile.KeyCount, OutputGradient + tile.Queries, tile.QueryStride, ValueGradient + tile.Keys, tile.KvStride, tile.KeyCount, G.HeadDim, tile.Rows);
        }

        // values, one a key that query r of the tile sees, times their factors.
        private readonly void Drop(in Tile tile, int sequence, int head, int r, Span<float> values)
        {
            if (!G.Dropped.Dropout.IsOn) return;
            long query = tile.First + r, first = ((((long)sequence * G.Heads) + head) * G.Length + query) * G.Length + query + 1 - values.Length;
            for (int i = 0; i < values.Length; i++) values[i] *= G.Dropped.Dropout.Factor(G.Dropped.Place, first + i);
        }

        // gradients[j] ← scale · probabilities[j] · (gradients[j] − dot)
        private static void ScoreGradients(ReadOnlySpan<float> probabilities, Span<float> gradients, float dot, float scale)
        {
            int i = 0;
            Vector<float> dots = new(dot), scales = new(scale);
            for (; i <= gradients.Length - Vector<float>.Count; i += Vector<float>.Count)
                (scales * new Vector<float>(probabilities[i..]) * (new Vector<float>(gradients[i..]) - dots)).CopyTo(gradients[i..]);
            for (; i < gradients.Length; i++) gradients[i] = scale * probabilities[i] * (gradients[i] - dot);
        }

        private readonly void ClearKeyValueGradients(int sequence, int kvHead)
        {
            long stride = (long)G.KvHeads * G.HeadDim;
            for (int t = 0; t < G.Length; t++)
            {
                long at = ((long)sequence * G.Length + t) * stride + (long)kvHead * G.HeadDim;
                new Span<float>(KeyGradient + at, G.HeadDim).Clear();
                new Span<float>(ValueGradient + at, G.HeadDim).Clear();
            }
        }
    }

    // Some queries of a head and the keys that at least one of them sees.
    private readonly struct Tile
    {
        public readonly long Queries, Keys, Sums; // offsets of the first query, key and sum
        public readonly long QueryStride, KvStride;
        public readonly int Rows, KeyCount, First, FirstKey;

        public Tile(in Work work, int sequence, int head, int kvHead, int first)
        {
            AttentionGeometry g = work.G;
            First = first;
            Rows = Math.Min(TileRows, g.Length - first);
            FirstKey = g.Window == 0 ? 0 : Math.Max(0, first - g.Window + 1);
            KeyCount = first + Rows - FirstKey;
            QueryStride = (long)g.Heads * g.HeadDim;
            KvStride = (long)g.KvHeads * g.HeadDim;
            Queries = ((long)sequence * g.Length + first) * QueryStride + (long)head * g.HeadDim;
            Keys = ((long)sequence * g.Length + FirstKey) * KvStride + (long)kvHead * g.HeadDim;
            Sums = ((long)sequence * g.Heads + head) * g.Length + first;
        }

        // Keys of the tile that query r of the tile sees.
        public (int From, int Count) Visible(AttentionGeometry g, int r)
        {
            int query = First + r, from = g.Window == 0 ? 0 : Math.Max(0, query - g.Window + 1);
            return (from - FirstKey, query - from + 1);
        }
    }
}
