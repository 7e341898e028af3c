using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Training.Operators;

/// <summary>A row added to every row, and its gradient: the sum over the rows. Sums run over all rows in their order, so threads share columns.</summary>
internal static unsafe class ColumnSums
{
    private const int Slab = 32;

    /// <summary>y[t, i] += bias[i].</summary>
    public static void AddToEach(WorkerPool pool, float* y, int rows, int features, float* bias)
    {
        AddWork work = new() { Y = y, Bias = bias, Features = features };
        pool.Run(ref work, rows, 64);
    }

    /// <summary>sums[i] += Σ_t x[t, i].</summary>
    public static void Accumulate(WorkerPool pool, float* x, int rows, int features, float* sums)
    {
        SumWork work = new() { X = x, Sums = sums, Rows = rows, Features = features };
        pool.Run(ref work, (features + Slab - 1) / Slab, 1);
    }

    private struct AddWork : IParallelWork
    {
        public float* Y, Bias;
        public int Features;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                float* y = Y + (long)t * Features;
                int i = 0;
                for (; i <= Features - Vector<float>.Count; i += Vector<float>.Count) (Vector.Load(y + i) + Vector.Load(Bias + i)).Store(y + i);
                for (; i < Features; i++) y[i] += Bias[i];
            }
        }
    }

    private struct SumWork : IParallelWork
    {
        public float* X, Sums;
        public int Rows, Features;

        public readonly void Execute(int start, int end)
        {
            for (int first = start * Slab; first < Math.Min(Features, end * Slab); first += Slab)
            {
                int width = Math.Min(Slab, Features - first);
                float* sums = stackalloc float[Slab];
                new Span<float>(sums, Slab).Clear();
                for (int t = 0; t < Rows; t++)
                {
                    float* x = X + (long)t * Features + first;
                    int i = 0;
                    for (; i <= width - Vector<float>.Count; i += Vector<float>.Count) (Vector.Load(sums + i) + Vector.Load(x + i)).Store(sums + i);
                    for (; i < width; i++) sums[i] += x[i];
                }
                for (int i = 0; i < width; i++) Sums[first + i] += sums[i];
            }
        }
    }
}
