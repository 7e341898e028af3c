using System;
using System.Collections.Generic;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Training.Model;

namespace Lowbit.Training.Optimization;

/// <summary>The length of all gradients together, summed in an order that does not depend on the number of threads.</summary>
internal static unsafe class GradientNorm
{
    private const int Piece = 8192;

    /// <summary>√(Σ g²) over all trained parameters.</summary>
    public static double Of(WorkerPool pool, IReadOnlyList<Parameter> parameters)
    {
        double total = 0;
        foreach (Parameter parameter in parameters)
        {
            int pieces = checked((int)((parameter.Count + Piece - 1) / Piece));
            double[] sums = new double[pieces];
            Work work = new() { Gradient = parameter.Gradient!.Floats, Count = parameter.Count, Sums = sums };
            pool.Run(ref work, pieces, 1);
            foreach (double sum in sums) total += sum;
        }
        return Math.Sqrt(total);
    }

    private struct Work : IParallelWork
    {
        public float* Gradient;
        public long Count;
        public double[] Sums;

        public readonly void Execute(int start, int end)
        {
            for (int piece = start; piece < end; piece++)
            {
                long i = (long)piece * Piece, last = Math.Min(Count, i + Piece);
                Vector<double> sums = default;
                for (; i <= last - Vector<float>.Count; i += Vector<float>.Count)
                {
                    Vector.Widen(Vector.Load(Gradient + i), out Vector<double> low, out Vector<double> high);
                    sums += low * low + high * high;
                }
                double sum = Vector.Sum(sums);
                for (; i < last; i++) sum += (double)Gradient[i] * Gradient[i];
                Sums[piece] = sum;
            }
        }
    }
}
