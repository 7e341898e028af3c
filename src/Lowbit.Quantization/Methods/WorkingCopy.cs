using System;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// A weight turned so that a column lies in one piece: [inFeatures, stride], where element [j, r] is row r of the j-th
/// column to be taken. A step over a column then runs over consecutive rows. Rows are padded with zeros to whole strips
/// of <see cref="Strip"/>, so that no step has a remainder. Beside it lie the codes, in the same layout.
/// </summary>
internal sealed unsafe class WorkingCopy : IDisposable
{
    /// <summary>Rows that a step takes at a time.</summary>
    public const int Strip = 32;

    private readonly NativeBuffer _weights, _codes;

    /// <summary>Turns the weight.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="order">The columns in the order to take them; null for the natural one.</param>
    public WorkingCopy(WorkerPool pool, ReadOnlySpan<float> weight, int rows, int columns, int[]? order)
    {
        Rows = rows;
        Columns = columns;
        Stride = (rows + Strip - 1) / Strip * Strip;
        Order = order;
        _weights = new NativeBuffer((long)columns * Stride * sizeof(float));
        _codes = new NativeBuffer((long)columns * Stride);
        Turn(pool, weight, Weights);
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>The columns in the order to take them; null for the natural one.</summary>
    public int[]? Order { get; }

    /// <summary>Elements from one column to the next.</summary>
    public int Stride { get; }

    /// <summary>[columns, stride].</summary>
    public float* Weights => _weights.Floats;

    /// <summary>[columns, stride], one byte a code.</summary>
    public byte* Codes => _codes.Pointer;

    /// <summary>Sets the weights of dead inputs to zero.</summary>
    public void ClearDeadInputs(Hessian hessian)
    {
        for (int j = 0; j < Columns; j++)
            if (hessian.IsDead(NaturalColumn(j))) new Span<float>(Weights + (long)j * Stride, Stride).Clear();
    }

    /// <summary>Turns another matrix of the same shape.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="natural">[rows, columns].</param>
    /// <param name="turned">[columns, stride]; the padding is left alone.</param>
    public void Turn<T>(WorkerPool pool, ReadOnlySpan<T> natural, T* turned) where T : unmanaged
    {
        fixed (T* source = natural)
        {
            var work = new TurnWork<T> { Natural = source, Turned = turned, Copy = this };
            pool.Run(ref work, Columns, Strip);
        }
    }

    /// <summary>The weights turned back, [rows, columns] in natural order.</summary>
    public float[] NaturalWeights(WorkerPool pool)
    {
        var weights = new float[(long)Rows * Columns];
        TurnBack(pool, Weights, weights.AsSpan());
        return weights;
    }

    /// <summary>Turns the codes back.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="destination">[rows, columns], natural order.</param>
    public void CopyCodesTo(WorkerPool pool, Span<byte> destination) => TurnBack(pool, Codes, destination);

    /// <summary>Turns another matrix of the same shape back.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="turned">[columns, stride].</param>
    /// <param name="destination">[rows, columns], natural order.</param>
    public void TurnBack<T>(WorkerPool pool, T* turned, Span<T> destination) where T : unmanaged
    {
        fixed (T* target = destination)
        {
            var work = new TurnBackWork<T> { Turned = turned, Natural = target, Copy = this };
            pool.Run(ref work, Rows, Strip);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _weights.Dispose();
        _codes.Dispose();
    }

    private int NaturalColumn(int column) => Order is null ? column : Order[column];

    private struct TurnWork<T> : IParallelWork where T : unmanaged
    {
        public T* Natural, Turned;
        public WorkingCopy Copy;

        public readonly void Execute(int start, int end)
        {
            for (int r = 0; r < Copy.Rows; r++)
                for (int j = start; j < end; j++)
                    Turned[(long)j * Copy.Stride + r] = Natural[(long)r * Copy.Columns + Copy.NaturalColumn(j)];
        }
    }

    private struct TurnBackWork<T> : IParallelWork where T : unmanaged
    {
        public T* Turned, Natural;
        public WorkingCopy Copy;

        public readonly void Execute(int start, int end)
        {
            for (int j = 0; j < Copy.Columns; j++)
            {
                int column = Copy.NaturalColumn(j);
                for (int r = start; r < end; r++)
                    Natural[(long)r * Copy.Columns + column] = Turned[(long)j * Copy.Stride + r];
            }
        }
    }
}
