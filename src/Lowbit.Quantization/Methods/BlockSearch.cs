using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The two searches of BiLLM (BiLlm.cs) in one block of columns: which columns are salient, and where the others are
/// split. Both binarize the scores row by row and compare squared errors; eight rows at a time.
/// </summary>
/// <param name="scores">[width, stride], rows of padding zero.</param>
/// <param name="width">Columns of the block.</param>
/// <param name="rows">Rows of the matrix.</param>
/// <param name="stride">Elements from one column to the next, a multiple of eight.</param>
internal sealed unsafe class BlockSearch(float* scores, int width, int rows, int stride)
{
    private const int MostSalient = 49, Quantiles = 81;
    private const int RowsOfChunk = 4; // vectors of eight rows

    /// <summary>The scores of a block: w itself, or with a factor w² / U_jj².</summary>
    /// <param name="weights">[width, stride].</param>
    /// <param name="width">Columns of the block.</param>
    /// <param name="stride">Elements from one column to the next.</param>
    /// <param name="factor">U of the damped Hessian, or null.</param>
    /// <param name="start">First column of the block.</param>
    /// <param name="scores">[width, stride].</param>
    public static void Score(float* weights, int width, int stride, InverseFactor? factor, int start, float* scores)
    {
        for (int j = 0; j < width; j++)
        {
            float u = factor is null ? 0 : factor[start + j, start + j];
            for (int r = 0; r < stride; r++)
            {
                float w = weights[(long)j * stride + r];
                scores[(long)j * stride + r] = factor is null ? w : w * w / (u * u);
            }
        }
    }

    /// <summary>The columns by falling sums of |s|, or of s²; equal ones in their natural order.</summary>
    public int[] RankColumns(bool squares = false)
    {
        var ranked = new int[width];
        var keys = new (double Negative, int Column)[width];
        for (int j = 0; j < width; j++)
        {
            double sum = 0;
            for (int r = 0; r < rows; r++)
            {
                float s = scores[(long)j * stride + r];
                sum += squares ? (double)s * s : MathF.Abs(s);
            }
            keys[j] = (-sum, j);
            ranked[j] = j;
        }
        Array.Sort(keys, ranked);
        return ranked;
    }

    /// <summary>How many of the first columns are salient: the number for which both sides, binarized twice, lose least.</summary>
    public int SalientColumns(WorkerPool pool, int[] ranked)
    {
        int candidates = Math.Min(MostSalient, width - 1);
        return candidates == 0 ? 0 : 1 + Least(pool, new SalientWork { Scores = scores, Stride = stride, Ranked = ranked, Candidates = candidates });
    }

    /// <summary>The value from which on |s| is sparse: the quantile for which both sides, binarized once, lose least.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="columns">The columns that are not salient.</param>
    public float BreakPoint(WorkerPool pool, int[] columns)
    {
        var sizes = new float[width * rows]; // those of salient columns count as zeros
        for (int k = 0; k < columns.Length; k++)
            for (int r = 0; r < rows; r++) sizes[k * rows + r] = MathF.Abs(scores[(long)columns[k] * stride + r]);
        Array.Sort(sizes);
        float[] breakPoints = BreakPoints(sizes);
        return breakPoints[Least(pool, new BreakWork { Scores = scores, Stride = stride, Columns = columns, BreakPoints = breakPoints })];
    }

    /// <summary>The same for the salient columns, as ARB-LLM splits them: the quantile of their |s| above zero for which both sides, binarized twice, lose least.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="columns">The salient columns.</param>
    public float SalientBreakPoint(WorkerPool pool, int[] columns)
    {
        List<float> sizes = [];
        foreach (int j in columns)
            for (int r = 0; r < rows; r++)
                if (scores[(long)j * stride + r] != 0) sizes.Add(MathF.Abs(scores[(long)j * stride + r]));
        if (sizes.Count == 0) return 0;
        sizes.Sort();
        float[] breakPoints = BreakPoints(CollectionsMarshal.AsSpan(sizes));
        return breakPoints[Least(pool, new SalientBreakWork { Scores = scores, Stride = stride, Columns = columns, BreakPoints = breakPoints })];
    }

    // Quantiles from 10 to 90 %.
    private static float[] BreakPoints(ReadOnlySpan<float> sorted)
    {
        var breakPoints = new float[Quantiles];
        for (int i = 0; i < Quantiles; i++)
        {
            double place = (0.1 + 0.8 * i / (Quantiles - 1)) * (sorted.Length - 1);
            int below = (int)place;
            float low = sorted[below], high = sorted[Math.Min(below + 1, sorted.Length - 1)];
            breakPoints[i] = (float)(low + (high - low) * (place - below));
        }
        return breakPoints;
    }

    // The candidate with the least error over all rows, the first of equals.
    private int Least<TWork>(WorkerPool pool, TWork work) where TWork : struct, ISearchWork
    {
        int vectors = stride / Vector256<float>.Count;
        work.Errors = new float[(long)vectors * work.Candidates];
        pool.Run(ref work, vectors, RowsOfChunk);
        int best = 0;
        double least = double.PositiveInfinity;
        for (int i = 0; i < work.Candidates; i++)
        {
            double error = 0;
            for (int v = 0; v < vectors; v++) error += work.Errors[v * work.Candidates + i];
            if (error < least) (least, best) = (error, i);
        }
        return best;
    }

    private static Vector256<float> Sign(Vector256<float> x) =>
        Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<float>.Zero), Vector256.Create(-1f), Vector256.Create(1f));

    private interface ISearchWork : IParallelWork
    {
        int Candidates { get; }

        /// <summary>[vectors of rows, candidates].</summary>
        float[] Errors { get; set; }
    }

    private struct SalientWork : ISearchWork
    {
        public float* Scores;
        public int Stride;
        public int[] Ranked;

        public int Candidates { get; set; }

        public float[] Errors { get; set; }

        public readonly void Execute(int start, int end)
        {
            for (int v = start; v < end; v++)
                for (int i = 0; i < Candidates; i++)
                {
                    float* s = Scores + v * Vector256<float>.Count;
                    Errors[v * Candidates + i] = Vector256.Sum(TwiceBinarized(s, Ranked.AsSpan(0, i + 1)) + TwiceBinarized(s, Ranked.AsSpan(i + 1)));
                }
        }

        // Σ (s − ŝ)² over the columns.
        private readonly Vector256<float> TwiceBinarized(float* s, ReadOnlySpan<int> columns)
        {
            Vector256<float> count = Vector256.Create((float)columns.Length), sum = default;
            foreach (int j in columns) sum += Vector256.Load(s + (long)j * Stride);
            Vector256<float> mean = sum / count, deviation = default, residuals = default;
            foreach (int j in columns) deviation += Vector256.Abs(Vector256.Load(s + (long)j * Stride) - mean);
            Vector256<float> scale = deviation / count;
            foreach (int j in columns) residuals += Residual(Vector256.Load(s + (long)j * Stride), mean, scale);
            Vector256<float> residualMean = residuals / count, residualDeviation = default, error = default;
            foreach (int j in columns) residualDeviation += Vector256.Abs(Residual(Vector256.Load(s + (long)j * Stride), mean, scale) - residualMean);
            Vector256<float> residualScale = residualDeviation / count;
            foreach (int j in columns)
            {
                Vector256<float> lost = Residual(Residual(Vector256.Load(s + (long)j * Stride), mean, scale), residualMean, residualScale);
                error += lost * lost;
            }
            return error;
        }

        private static Vector256<float> Residual(Vector256<float> x, Vector256<float> mean, Vector256<float> scale) => x - (scale * Sign(x - mean) + mean);
    }

    private struct BreakWork : ISearchWork
    {
        public float* Scores;
        public int Stride;
        public int[] Columns;
        public float[] BreakPoints;

        public readonly int Candidates => BreakPoints.Length;

        public float[] Errors { get; set; }

        public readonly void Execute(int start, int end)
        {
            for (int v = start; v < end; v++)
                for (int i = 0; i < BreakPoints.Length; i++)
                    Errors[v * Candidates + i] = Vector256.Sum(Split(Scores + v * Vector256<float>.Count, Vector256.Create(BreakPoints[i])));
        }

        // Σ (s − ŝ)² with concentrated and sparse scores binarized on their own.
        private readonly Vector256<float> Split(float* s, Vector256<float> breakPoint)
        {
            Vector256<float> sparseCount = default, sparseSum = default, sum = default, one = Vector256<float>.One;
            foreach (int j in Columns)
            {
                Vector256<float> x = Vector256.Load(s + (long)j * Stride), sparse = Vector256.GreaterThanOrEqual(Vector256.Abs(x), breakPoint);
                sparseCount += sparse & one;
                sparseSum += sparse & x;
                sum += Vector256.AndNot(x, sparse);
            }
            Vector256<float> count = Vector256.Max(Vector256.Create((float)Columns.Length) - sparseCount, one);
            sparseCount = Vector256.Max(sparseCount, one);
            Vector256<float> mean = sum / count, sparseMean = sparseSum / sparseCount, deviation = default, sparseDeviation = default;
            foreach (int j in Columns)
            {
                Vector256<float> x = Vector256.Load(s + (long)j * Stride), sparse = Vector256.GreaterThanOrEqual(Vector256.Abs(x), breakPoint);
                Vector256<float> distance = Vector256.Abs(x - Vector256.ConditionalSelect(sparse, sparseMean, mean));
                sparseDeviation += sparse & distance;
                deviation += Vector256.AndNot(distance, sparse);
            }
            Vector256<float> scale = deviation / count, sparseScale = sparseDeviation / sparseCount, error = default;
            foreach (int j in Columns)
            {
                Vector256<float> x = Vector256.Load(s + (long)j * Stride), sparse = Vector256.GreaterThanOrEqual(Vector256.Abs(x), breakPoint);
                Vector256<float> distance = Vector256.Abs(x - Vector256.ConditionalSelect(sparse, sparseMean, mean));
                Vector256<float> lost = distance - Vector256.ConditionalSelect(sparse, sparseScale, scale);
                error += lost * lost;
            }
            return error;
        }
    }

    private struct SalientBreakWork : ISearchWork
    {
        public float* Scores;
        public int Stride;
        public int[] Columns;
        public float[] BreakPoints;

        public readonly int Candidates => BreakPoints.Length;

        public float[] Errors { get; set; }

        public readonly void Execute(int start, int end)
        {
            for (int v = start; v < end; v++)
                for (int i = 0; i < BreakPoints.Length; i++)
                {
                    float* s = Scores + v * Vector256<float>.Count;
                    Vector256<float> breakPoint = Vector256.Create(BreakPoints[i]);
                    Errors[v * Candidates + i] = Vector256.Sum(TwiceBinarized(s, breakPoint, 0) + TwiceBinarized(s, breakPoint, -1));
                }
        }

        // Σ (s − ŝ)² over the scores from the break point on or, with side −1, below it.
        private readonly Vector256<float> TwiceBinarized(float* s, Vector256<float> breakPoint, int side)
        {
            Vector256<float> count = default, mean = default, scale = default, residualMean = default, residualScale = default, error = default;
            Vector256<float> flip = Vector256.Create(side).AsSingle();
            for (int pass = 0; pass < 5; pass++)
            {
                Vector256<float> sum = default;
                foreach (int j in Columns)
                {
                    Vector256<float> x = Vector256.Load(s + (long)j * Stride), member = Vector256.GreaterThanOrEqual(Vector256.Abs(x), breakPoint) ^ flip;
                    Vector256<float> distance = x - mean, residual = distance - scale * Sign(distance), residualDistance = residual - residualMean;
                    Vector256<float> lost = residualDistance - residualScale * Sign(residualDistance);
                    if (pass == 0) count += member & Vector256<float>.One;
                    sum += member & pass switch
                    {
                        0 => x,
                        1 => Vector256.Abs(distance),
                        2 => residual,
                        3 => Vector256.Abs(residualDistance),
                        _ => lost * lost,
                    };
                }
                Vector256<float> average = sum / Vector256.Max(count, Vector256<float>.One);
                switch (pass)
                {
                    case 0: mean = average; break;
                    case 1: scale = average; break;
                    case 2: residualMean = average; break;
                    case 3: residualScale = average; break;
                    default: error = sum; break;
                }
            }
            return error;
        }
    }
}
