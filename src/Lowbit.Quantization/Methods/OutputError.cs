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
    private const int RowsAtATime = 256;
    private const int Block = 128;

    /// <summary>From the Hessian: tr((W − Ŵ) H (W − Ŵ)ᵀ) / tr(W H Wᵀ); damping and the treatment of dead inputs have no part in it.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="quantized">[outFeatures, inFeatures].</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="hessian">Of the inputs.</param>
    public static double FromHessian(WorkerPool pool, ReadOnlySpan<float> weight, ReadOnlySpan<float> quantized, int outFeatures, Hessian hessian)
    {
        int columns = hessian.Features;
        using var rows = new NativeBuffer(2L * RowsAtATime * columns * sizeof(float));
        double lost = 0, all = 0;
        for (int start = 0; start < outFeatures; start += RowsAtATime)
        {
            // The upper half holds the rows of W − Ŵ, the lower half those of W, so that one product serves both.
            int count = Math.Min(RowsAtATime, outFeatures - start), elements = count * columns;
            ReadOnlySpan<float> w = weight.Slice(start * columns, elements), q = quantized.Slice(start * columns, elements);
            Span<float> error = rows.Span<float>(0, elements), copy = rows.Span<float>(elements, elements);
            for (int i = 0; i < elements; i++) error[i] = w[i] - q[i];
            w.CopyTo(copy);
            double[] energies = Energies(pool, rows.Floats, 2 * count, hessian);
            for (int r = 0; r < count; r++)
            {
                lost += energies[r];
                all += energies[count + r];
            }
        }
        return Share(lost, all);
    }

    // v H vᵀ of every row v. H is symmetric, so with its columns in blocks B the part left of the diagonal block counts
    // twice and the part right of it not at all: Σ_B v_B · (2 · H[B, <B] · v_<B + H[B, B] · v_B).
    private static double[] Energies(WorkerPool pool, float* rows, int count, Hessian hessian)
    {
        int columns = hessian.Features;
        using var left = new NativeBuffer((long)count * Block * sizeof(float));
        using var diagonal = new NativeBuffer((long)count * Block * sizeof(float));
        var energies = new double[count];
        for (int start = 0; start < columns; start += Block)
        {
            int width = Math.Min(Block, columns - start);
            float* h = hessian.Values + (long)start * columns;
            Gemm.MultiplyTransposed(pool, rows + start, columns, h + start, columns, diagonal.Floats, Block, count, width, width);
            if (start > 0) Gemm.MultiplyTransposed(pool, rows, columns, h, columns, left.Floats, Block, count, width, start);
            for (int r = 0; r < count; r++)
                for (int j = 0; j < width; j++)
                {
                    double product = 2.0 * left.Floats[r * Block + j] + diagonal.Floats[r * Block + j];
                    energies[r] += product * rows[(long)r * columns + start + j];
                }
        }
        return energies;
    }

    /// <summary>From the inputs themselves.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="quantized">[outFeatures, inFeatures].</param>
    /// <param name="outFeatures">Rows of the weight.</param>
    /// <param name="inputs">[tokens, inFeatures].</param>
    public static double FromInputs(WorkerPool pool, ReadOnlySpan<float> weight, ReadOnlySpan<float> quantized, int outFeatures, ReadOnlySpan<float> inputs)
    {
        int columns = weight.Length / outFeatures;
        var error = new float[weight.Length];
        for (int i = 0; i < error.Length; i++) error[i] = weight[i] - quantized[i];
        return Share(SquaredOutput(pool, error, outFeatures, inputs, columns), SquaredOutput(pool, weight, outFeatures, inputs, columns));
    }

    private static double SquaredOutput(WorkerPool pool, ReadOnlySpan<float> matrix, int outFeatures, ReadOnlySpan<float> inputs, int columns)
    {
        int tokens = inputs.Length / columns;
        using var output = new NativeBuffer((long)tokens * outFeatures * sizeof(float));
        fixed (float* x = inputs, w = matrix)
            Gemm.MultiplyTransposed(pool, x, columns, w, columns, output.Floats, outFeatures, tokens, outFeatures, columns);
        double sum = 0;
        for (int t = 0; t < tokens; t++)
        {
            ReadOnlySpan<float> row = output.Span<float>((long)t * outFeatures, outFeatures);
            sum += Dot(row, row);
        }
        return sum;
    }

    private static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }

    // Rounding may leave a tiny negative loss where the error lies where the inputs never went.
    private static double Share(double lost, double all) => lost <= 0 ? 0 : lost / all;
}
