using System;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// What methods that learn by gradients minimise: ‖X (Ŵ − W)ᵀ‖², row by row e H eᵀ with e = ŵ − w, and its derivative
/// 2 e H, both through the Hessian.
/// </summary>
/// <remarks>Cost: in² · out multiplications each time. Memory: twice the weight.</remarks>
internal sealed unsafe class LayerObjective : IDisposable
{
    private readonly WorkerPool _pool;
    private readonly Hessian _hessian;
    private readonly NativeBuffer _errors, _gradient;
    private readonly int _rows;

    public LayerObjective(WorkerPool pool, LinearLayer layer, Hessian hessian)
    {
        _pool = pool;
        _hessian = hessian;
        _rows = layer.OutFeatures;
        long bytes = (long)_rows * layer.InFeatures * sizeof(float);
        _errors = new NativeBuffer(bytes);
        _gradient = new NativeBuffer(bytes);
        RowLosses = new double[_rows];
    }

    /// <summary>[outFeatures, inFeatures], Ŵ − W; to be filled in.</summary>
    public float* Errors => _errors.Floats;

    /// <summary>[outFeatures, inFeatures], half of the derivative with respect to Ŵ, after <see cref="Evaluate"/>.</summary>
    public float* HalfGradient => _gradient.Floats;

    /// <summary>[outFeatures], after <see cref="Evaluate"/>; rows do not depend on each other.</summary>
    public double[] RowLosses { get; }

    /// <summary>Computes losses and gradient.</summary>
    /// <returns>The sum over the rows.</returns>
    public double Evaluate()
    {
        int columns = _hessian.Features;
        Gemm.MultiplyTransposed(_pool, Errors, columns, _hessian.Values, columns, HalfGradient, columns, _rows, columns, columns); // H = Hᵀ
        var work = new LossWork { Errors = Errors, Gradient = HalfGradient, Losses = RowLosses, Columns = columns };
        _pool.Run(ref work, _rows, 16);
        double sum = 0;
        foreach (double loss in RowLosses) sum += loss;
        return sum;
    }

    public void Dispose()
    {
        _errors.Dispose();
        _gradient.Dispose();
    }

    private struct LossWork : IParallelWork
    {
        public float* Errors, Gradient;
        public double[] Losses;
        public int Columns;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                Losses[r] = Vectors.Dot(new(Errors + (long)r * Columns, Columns), new(Gradient + (long)r * Columns, Columns));
        }
    }
}
