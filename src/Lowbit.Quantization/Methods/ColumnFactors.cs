using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The factors f of columns that bring a quantized matrix nearest to its weight in the outputs, when its codes stay:
/// <code>
/// least tr (W − Q diag f) H (W − Q diag f)ᵀ   at   (QᵀQ ∘ H) f = diag(QᵀW H)
/// </code>
/// Solved for f − 1, so that columns about which nothing is known keep their steps. Costs in² · out for QᵀQ and (W − Q) H
/// each and in³ for the solution; takes no bits where columns have steps anyway.
/// </summary>
internal static unsafe class ColumnFactors
{
    private const double Ridge = 1e-4; // of each diagonal element: the solution stays where the codes determine it

    /// <summary>Finds the factors.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">W, [rows, columns], zero in columns of dead inputs.</param>
    /// <param name="quantized">Q, [rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="hessian">H.</param>
    /// <param name="damping">What is added to its diagonal, as a share of its mean.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <returns>[columns].</returns>
    public static double[] Fit(
        WorkerPool pool, ReadOnlySpan<float> weight, ReadOnlySpan<float> quantized, int rows, Hessian hessian, double damping, CancellationToken cancellation)
    {
        int columns = hessian.Features;
        long square = (long)columns * columns, size = (long)rows * columns;
        using NativeBuffer errors = new(size * sizeof(float)), products = new(size * sizeof(float)), gram = new(square * sizeof(float));
        double damp = 0;
        for (int j = 0; j < columns; j++) damp += damping * hessian.Diagonal(j) / columns;
        for (int i = 0; i < weight.Length; i++)
        {
            errors.Floats[i] = weight[i] - quantized[i];
            products.Floats[i] = (float)damp * errors.Floats[i];
        }
        Gemm.MultiplyAdd(pool, 1, errors.Floats, columns, hessian.Values, columns, products.Floats, columns, rows, columns, columns);
        fixed (float* q = quantized) Gemm.AccumulateGram(pool, 1, q, rows, columns, 0, gram.Floats);

        var right = new double[columns];
        for (int i = 0; i < quantized.Length; i++) right[i % columns] += (double)quantized[i] * products.Floats[i];
        var diagonal = new double[columns];
        for (int j = 0; j < columns; j++)
        {
            double element = gram.Floats[(long)j * columns + j] * (hessian.Diagonal(j) + damp) * (1 + Ridge);
            diagonal[j] = element > 0 ? element : 1; // a column without codes
        }
        for (long i = 0; i < square; i++) gram.Floats[i] *= hessian.Values[i];

        using var factor = InverseFactor.Create(pool, new ReadOnlySpan<float>(gram.Floats, (int)square), diagonal, [], hessian.Name, cancellation);
        return Solve(factor, right);
    }

    // f = 1 + A⁻¹ b with A⁻¹ = UᵀU.
    private static double[] Solve(InverseFactor factor, double[] right)
    {
        int size = factor.Size;
        double[] middle = new double[size], solution = new double[size];
        for (int j = 0; j < size; j++)
            for (int i = 0; i <= j; i++) middle[i] += factor.Transposed[(long)j * size + i] * right[j];
        for (int j = 0; j < size; j++)
        {
            solution[j] = 1;
            for (int i = 0; i <= j; i++) solution[j] += factor.Transposed[(long)j * size + i] * middle[i];
        }
        return solution;
    }
}
