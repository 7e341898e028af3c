using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The columns of a weight that are not quantized yet, when their order is found on the way. With P the inverse of the
/// part of the damped Hessian that belongs to them, B the columns quantized next and R the rest,
/// <code>
/// W_R ← W_R − (W_B − Ŵ_B) P_BB⁻¹ P_BR,   P ← P_RR − P_RB P_BB⁻¹ P_BR
/// </code>
/// With P_BB = UᵀU and V = U⁻ᵀ P_BR these are W_R − (W_B − Ŵ_B) U⁻¹ V and P_RR − VᵀV.
/// </summary>
internal sealed unsafe class RemainingColumns : IDisposable
{
    private readonly WorkerPool _pool;
    private readonly WorkingCopy _copy;
    private readonly string _name;
    private readonly NativeBuffer _inverse; // P of all columns, in the order of _order; the part of the columns left counts
    private readonly int[] _order;
    private int _done;

    /// <summary>Begins with all columns.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="copy">The weights in their natural order; its columns are moved and compensated in place.</param>
    /// <param name="hessian">Of the inputs.</param>
    /// <param name="damping">What is added to its diagonal, as a share of its mean.</param>
    /// <param name="cancellation">Stops the factorization.</param>
    public RemainingColumns(WorkerPool pool, WorkingCopy copy, Hessian hessian, double damping, CancellationToken cancellation)
    {
        int n = copy.Columns;
        (_pool, _copy, _name) = (pool, copy, hessian.Name);
        _inverse = new NativeBuffer((long)n * n * sizeof(float));
        _order = new int[n];
        for (int j = 0; j < n; j++) _order[j] = j;
        float* transposed = hessian.Factor(pool, damping, activationOrder: false, cancellation).Transposed;
        Gemm.MultiplyTransposed(pool, transposed, n, transposed, n, _inverse.Floats, n, n, n, n); // P = UᵀU
    }

    /// <summary>Columns left.</summary>
    public int Count => _order.Length - _done;

    /// <summary>Rows of the weight.</summary>
    public int Rows => _copy.Rows;

    /// <summary>Elements from one column to the next.</summary>
    public int Stride => _copy.Stride;

    /// <summary>[<see cref="Count"/>, <see cref="Stride"/>], the columns left.</summary>
    public float* Weights => _copy.Weights + (long)_done * Stride;

    /// <summary>Which column lies at a place among those left.</summary>
    public int Column(int place) => _order[_done + place];

    /// <summary>Moves columns to the first places.</summary>
    /// <param name="columns">Which, in the order to take them.</param>
    /// <returns>The same.</returns>
    public int[] Bring(int[] columns)
    {
        int n = _order.Length;
        for (int i = 0; i < columns.Length; i++)
        {
            int place = _done + i, found = Array.IndexOf(_order, columns[i], place);
            if (found == place) continue;
            (_order[place], _order[found]) = (_order[found], _order[place]);
            Swap(_copy.Weights + (long)place * Stride, _copy.Weights + (long)found * Stride, Stride);
            float* p = _inverse.Floats;
            Swap(p + (long)place * n, p + (long)found * n, n);
            for (int k = 0; k < n; k++) (p[(long)k * n + place], p[(long)k * n + found]) = (p[(long)k * n + found], p[(long)k * n + place]);
        }
        return columns;
    }

    /// <summary>Takes the errors of the first columns from the others and leaves the first ones behind.</summary>
    /// <param name="width">How many.</param>
    /// <param name="errors">[width, stride], W − Ŵ; overwritten.</param>
    /// <exception cref="LowbitException">The damped Hessian is not positive definite in float32.</exception>
    public void Compensate(int width, float* errors)
    {
        int n = _order.Length, rest = Count - width;
        float* p = _inverse.Floats + (long)_done * n + _done;
        double[] u = Triangle(p, n, width);
        using var v = new NativeBuffer((long)width * rest * sizeof(float));
        using var transposed = new NativeBuffer((long)width * rest * sizeof(float));
        for (int i = 0; i < width; i++)
        {
            Span<float> row = v.Span<float>((long)i * rest, rest), error = new(errors + (long)i * Stride, Stride);
            new ReadOnlySpan<float>(p + (long)i * n + width, rest).CopyTo(row);
            for (int k = 0; k < i; k++)
            {
                Vectors.Add(v.Floats + (long)k * rest, (float)-u[k * width + i], row);
                Vectors.Add(errors + (long)k * Stride, (float)-u[k * width + i], error);
            }
            float inverse = (float)(1 / u[i * width + i]);
            for (int j = 0; j < rest; j++) transposed.Floats[(long)j * width + i] = row[j] *= inverse;
            foreach (ref float e in error) e *= inverse;
        }
        Gemm.MultiplyAdd(_pool, -1, transposed.Floats, width, errors, Stride, Weights + (long)width * Stride, Stride, rest, Stride, width);
        Gemm.MultiplyAdd(_pool, -1, transposed.Floats, width, v.Floats, rest, p + (long)width * n + width, n, rest, rest, width);
        _done += width;
    }

    /// <inheritdoc/>
    public void Dispose() => _inverse.Dispose();

    // U of P_BB = UᵀU.
    private double[] Triangle(float* p, int n, int width)
    {
        var u = new double[width * width];
        for (int i = 0; i < width; i++)
            for (int j = i; j < width; j++)
            {
                double sum = p[(long)i * n + j];
                for (int k = 0; k < i; k++) sum -= u[k * width + i] * u[k * width + j];
                if (j > i) u[i * width + j] = sum / u[i * width + i];
                else if (sum > 0) u[i * width + i] = Math.Sqrt(sum);
                else throw new LowbitException($"{_name}: the damped Hessian is not positive definite in single precision; give more calibration text or a larger --damping.");
            }
        return u;
    }

    private static void Swap(float* a, float* b, int count)
    {
        for (int i = 0; i < count; i++) (a[i], b[i]) = (b[i], a[i]);
    }
}
