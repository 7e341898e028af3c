using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Attention of many tokens. A piece of work is a tile of tokens for one key-value head; the rows of its matrices are
/// (token, query head of the group), so that a tile of keys and values is packed once for all heads that share it, and both
/// products, scores = q · kᵀ and output += weights · v, run on the kernel of the matrix product.
/// </summary>
internal static unsafe class AttentionPrefill<TKernel> where TKernel : IGemmKernel
{
    private const int TileRows = 96;
    private const int TilePositions = 128; // a multiple of all kernels' columns

    [ThreadStatic]
    private static NativeBuffer? t_scratch;

    public static void Compute(
        WorkerPool pool, in AttentionShape shape, float* queries, CacheRows keys, CacheRows values, int tokens, int firstPosition, float* output)
    {
        int group = shape.Heads / shape.KeyValueHeads;
        Work work = new()
        {
            Shape = shape,
            Group = group,
            Queries = queries,
            Keys = keys,
            Values = values,
            Output = output,
            Tokens = tokens,
            FirstPosition = firstPosition,
            TileTokens = Math.Max(1, TileRows / group),
        };
        pool.Run(ref work, shape.KeyValueHeads * work.Tiles, 1);
    }

    private static int RoundUp(int count, int multiple) => (count + multiple - 1) / multiple * multiple;

    private struct Work : IParallelWork
    {
        public AttentionShape Shape;
        public float* Queries, Output;
        public CacheRows Keys, Values;
        public int Group, Tokens, FirstPosition, TileTokens;

        public readonly int Tiles => (Tokens + TileTokens - 1) / TileTokens;

        public readonly void Execute(int start, int end)
        {
            for (int item = start; item < end; item++)
            {
                // The last tiles see most positions and come first, so that no thread is left with a long one at the end.
                int tile = Tiles - 1 - item / Shape.KeyValueHeads;
                Tile(item % Shape.KeyValueHeads, tile * TileTokens, Math.Min(Tokens, (tile + 1) * TileTokens));
            }
        }

        private readonly void Tile(int keyValueHead, int firstToken, int endToken)
        {
            int headDim = Shape.HeadDim, rows = (endToken - firstToken) * Group;
            int paddedRows = RoundUp(rows, TKernel.Rows), paddedDim = RoundUp(headDim, TKernel.Columns);
            Buffers buffers = new(paddedRows, headDim, paddedDim);
            PackQueries(buffers.Queries, keyValueHead, firstToken, rows, paddedRows);
            new Span<float>(buffers.Sums, paddedRows * paddedDim).Clear();
            new Span<float>(buffers.Maxima, paddedRows).Fill(float.NegativeInfinity);
            new Span<float>(buffers.Totals, paddedRows).Clear();

            int firstPosition = Attention.FirstVisible(Shape, FirstPosition + firstToken), endPosition = FirstPosition + endToken;
            for (int position = firstPosition; position < endPosition; position += TilePositions)
            {
                int count = Math.Min(TilePositions, endPosition - position);
                int depth = count; // positions that the second product sums over
                PackKeys(buffers.Keys, Keys.Read(position, count, keyValueHead * headDim, headDim, buffers.Rows, out long stride), stride, count);
                for (int j = 0; j < count; j += TKernel.Columns)
                    for (int i = 0; i < paddedRows; i += TKernel.Rows)
                        TKernel.Run(headDim, buffers.Queries + i * headDim, buffers.Keys + j * headDim, buffers.Scores + i * TilePositions + j, TilePositions, Shape.Scale, 0);
                for (int row = 0; row < rows; row++)
                    Weigh(buffers, row, FirstPosition + firstToken + row / Group, position, count, paddedDim);
                for (int i = 0; i < paddedRows; i += TKernel.Rows)
                    PanelPacking.Transposed(buffers.Scores + i * TilePositions, TilePositions, TKernel.Rows, depth, TKernel.Rows, buffers.Weights + i * depth);
                float* values = Values.Read(position, count, keyValueHead * headDim, headDim, buffers.Rows, out stride);
                for (int d = 0; d < headDim; d += TKernel.Columns)
                {
                    PanelPacking.Straight(values + d, stride, Math.Min(TKernel.Columns, headDim - d), depth, TKernel.Columns, buffers.Values);
                    for (int i = 0; i < paddedRows; i += TKernel.Rows)
                        TKernel.Run(depth, buffers.Weights + i * depth, buffers.Values, buffers.Sums + i * paddedDim + d, paddedDim, 1, 1);
                }
            }
            for (int row = 0; row < rows; row++)
            {
                Span<float> sum = new(buffers.Sums + row * paddedDim, headDim);
                Elementwise.Scale(1 / buffers.Totals[row], sum);
                sum.CopyTo(new Span<float>(Output + Row(keyValueHead, firstToken, row), headDim));
            }
        }

        private readonly long Row(int keyValueHead, int firstToken, int row) =>
            ((long)(firstToken + row / Group) * Shape.Heads + keyValueHead * Group + row % Group) * Shape.HeadDim;

        private readonly void PackQueries(float* panels, int keyValueHead, int firstToken, int rows, int paddedRows)
        {
            for (int row = 0; row < paddedRows; row++)
            {
                float* panel = panels + row / TKernel.Rows * TKernel.Rows * Shape.HeadDim + row % TKernel.Rows;
                float* source = Queries + Row(keyValueHead, firstToken, Math.Min(row, rows - 1));
                for (int d = 0; d < Shape.HeadDim; d++) panel[d * TKernel.Rows] = row < rows ? source[d] : 0;
            }
        }

        private readonly void PackKeys(float* panels, float* keys, long stride, int count)
        {
            for (int j = 0; j < count; j += TKernel.Columns)
                PanelPacking.Transposed(keys + j * stride, stride, Math.Min(TKernel.Columns, count - j), Shape.HeadDim, TKernel.Columns, panels + j * Shape.HeadDim);
        }

        // Turns the scores of a row into e^(score − maximum) and rescales what was summed under the former maximum.
        private readonly void Weigh(in Buffers buffers, int row, int position, int firstKey, int count, int paddedDim)
        {
            Span<float> scores = new(buffers.Scores + row * TilePositions, count);
            int first = Math.Clamp(Attention.FirstVisible(Shape, position) - firstKey, 0, count), end = Math.Clamp(position + 1 - firstKey, 0, count);
            scores[..Math.Min(first, end)].Clear();
            scores[end..].Clear();
            if (first >= end)
            {
                scores.Clear();
                return;
            }
            Span<float> visible = scores[first..end];
            Attention.Cap(Shape.SoftCap, visible);
            float max = MathF.Max(buffers.Maxima[row], Softmax.Max(visible));
            float former = MathF.Exp(buffers.Maxima[row] - max);
            buffers.Totals[row] = former * buffers.Totals[row] + Softmax.Exponentiate(visible, max);
            buffers.Maxima[row] = max;
            if (former != 1) Elementwise.Scale(former, new Span<float>(buffers.Sums + row * paddedDim, paddedDim));
        }
    }

    private readonly struct Buffers
    {
        public readonly float* Queries, Rows, Keys, Values, Scores, Weights, Sums, Maxima, Totals;

        public Buffers(int paddedRows, int headDim, int paddedDim)
        {
            int tile = paddedRows * TilePositions;
            long elements = (long)paddedRows * (headDim + paddedDim + 2) + (long)TilePositions * (headDim + TKernel.Columns + CacheRows.Room(headDim)) + 2L * tile;
            Queries = (float*)Scratch.Ensure(ref t_scratch, elements * sizeof(float));
            Sums = Queries + paddedRows * headDim;
            Keys = Sums + paddedRows * paddedDim;
            Values = Keys + TilePositions * headDim;
            Scores = Values + TilePositions * TKernel.Columns;
            Weights = Scores + tile;
            Maxima = Weights + tile;
            Totals = Maxima + paddedRows;
            Rows = Totals + paddedRows;
        }
    }
}
