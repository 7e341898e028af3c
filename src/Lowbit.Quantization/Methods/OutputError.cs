using System;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// How much of a layer's output was lost: ‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖² over the calibration inputs X, 0 for a perfect copy and
/// 1 for a weight of zeros.
/// </summary>
public static unsafe class OutputError
{
    private const int RowsAtATime = 512;
    private const int Block = 128;

    /// <summary>From the Hessian: tr((W − Ŵ) H (W − Ŵ)ᵀ) / tr(W H Wᵀ); damping and the treatment of dead inputs have no part in it.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="quantized">[outFeatures, inFeatures].</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="hessian">Of the inputs.</param>
    public static double FromHessian(WorkerPool pool, ReadOnlySpan<float> weight, ReadOnlySpan<float> quantized, int outFeatures, Hessian hessian) =>
        Share(Squared(pool, weight, quantized, outFeatures, hessian), Squared(pool, weight, [], outFeatures, hessian));

    /// <summary>tr((W − Ŵ) H (W − Ŵ)ᵀ), the objective of methods that search; not negative but for rounding.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="quantized">[outFeatures, inFeatures]; empty for zeros.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="hessian">Of the inputs.</param>
    internal static double Squared(WorkerPool pool, ReadOnlySpan<float> weight, ReadOnlySpan<float> quantized, int outFeatures, Hessian hessian)
    {
        int columns = hessian.Features, atATime = Math.Min(RowsAtATime, outFeatures);
        using var errors = new NativeBuffer((long)atATime * columns * sizeof(float));
        var energies = new double[atATime];
        double sum = 0;
        fixed (float* w = weight, q = quantized)
        {
            for (int start = 0; start < outFeatures; start += atATime)
            {
                int count = Math.Min(atATime, outFeatures - start);
                long first = (long)start * columns;
                var work = new DifferenceWork { Weight = w + first, Quantized = quantized.IsEmpty ? null : q + first, Error = errors.Floats, Columns = columns };
                pool.Run(ref work, count, 16);
                Energies(pool, errors.Floats, count, columns, hessian.Values, columns, energies);
                for (int r = 0; r < count; r++) sum += energies[r];
            }
        }
        return sum;
    }

    /// <summary>v H vᵀ of every row v, where H is a square on the diagonal of a Hessian.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="rows">[count, columns].</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="columns">Rows and columns of the square.</param>
    /// <param name="h">Its first element.</param>
    /// <param name="stride">Elements from one row of the Hessian to the next.</param>
    /// <param name="energies">[count], overwritten.</param>
    internal static void Energies(WorkerPool pool, float* rows, int count, int columns, float* h, long stride, Span<double> energies)
    {
        // H is symmetric, so with its columns in blocks B the part left of the diagonal block counts twice and the part
        // right of it not at all: Σ_B v_B · (2 · H[B, <B] · v_<B + H[B, B] · v_B).
        using var left = new NativeBuffer((long)count * Block * sizeof(float));
        using var diagonal = new NativeBuffer((long)count * Block * sizeof(float));
        energies[..count].Clear();
        fixed (double* sums = energies)
        {
            for (int start = 0; start < columns; start += Block)
            {
                int width = Math.Min(Block, columns - start);
                float* block = h + start * stride;
                Gemm.MultiplyTransposed(pool, rows + start, columns, block + start, stride, diagonal.Floats, Block, count, width, width);
                if (start > 0) Gemm.MultiplyTransposed(pool, rows, columns, block, stride, left.Floats, Block, count, width, start);
                var work = new EnergyWork { Rows = rows + start, Left = left.Floats, Diagonal = diagonal.Floats, Energies = sums, Columns = columns, Width = width };
                pool.Run(ref work, count, 16);
            }
        }
    }

    // Rounding may leave a tiny negative loss where the error lies where the inputs never went.
    private static double Share(double lost, double all) => lost <= 0 ? 0 : lost / all;

    private struct DifferenceWork : IParallelWork
    {
        public float* Weight, Quantized, Error;
        public int Columns;

        public readonly void Execute(int start, int end)
        {
            long last = (long)end * Columns;
            for (long i = (long)start * Columns; i < last; i++) Error[i] = Quantized is null ? Weight[i] : Weight[i] - Quantized[i];
        }
    }

    private struct EnergyWork : IParallelWork
    {
        public float* Rows, Left, Diagonal;
        public double* Energies;
        public int Columns, Width;

        public readonly void Execute(int start, int end)
        {
            // Left still holds zeros in the first block.
            for (int r = start; r < end; r++)
                for (int j = 0; j < Width; j++)
                {
                    double product = 2.0 * Left[(long)r * Block + j] + Diagonal[(long)r * Block + j];
                    Energies[r] += product * Rows[(long)r * Columns + j];
                }
        }
    }
}
