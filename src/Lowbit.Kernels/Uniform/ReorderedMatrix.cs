using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels.Uniform;

/// <summary>
/// A weight whose columns are stored in another order than the natural one, so that columns quantized together lie
/// together: the activations are put into the stored order, and the stored weight does the rest. In 8-bit mode they are
/// rounded anew in that order.
/// </summary>
public sealed unsafe class ReorderedMatrix : WeightMatrix
{
    [ThreadStatic]
    private static ActivationCache? t_ordered;

    [ThreadStatic]
    private static NativeBuffer? t_row;

    private readonly int[] _order;

    internal ReorderedMatrix(string orderName, WeightMatrix stored, ReadOnlySpan<uint> order) : base(stored.Rows, stored.Columns)
    {
        Stored = stored;
        _order = new int[order.Length];
        bool[] seen = new bool[order.Length];
        for (int j = 0; j < order.Length; j++)
        {
            if (order[j] >= (uint)order.Length || seen[order[j]])
                throw new LowbitException($"tensor {orderName}: element {j} is {order[j]}, expected each of the columns 0 to {order.Length - 1} once; the file is damaged.");
            seen[order[j]] = true;
            _order[j] = (int)order[j];
        }
    }

    /// <summary>The weight with its columns in stored order.</summary>
    public WeightMatrix Stored { get; }

    /// <summary>[columns], the natural place of every stored column.</summary>
    public ReadOnlySpan<int> Order => _order;

    /// <inheritdoc/>
    public override string Format => Stored.Format;

    /// <inheritdoc/>
    public override long Bytes => Stored.Bytes + (long)Columns * sizeof(uint);

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => Stored.KernelWidths;

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        float* row = (float*)Scratch.Ensure(ref t_row, (long)Columns * sizeof(float));
        for (int r = 0; r < rowCount; r++, destination += Columns)
        {
            Stored.DequantizeRows(firstRow + r, 1, row);
            for (int j = 0; j < Columns; j++) destination[_order[j]] = row[j];
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        Activations ordered = (t_ordered ??= new()).Like(activations, Columns);
        for (int t = 0; t < activations.Tokens; t++)
        {
            float* source = activations.Values + (long)t * Columns, target = ordered.Values + (long)t * Columns;
            for (int j = 0; j < Columns; j++) target[j] = source[_order[j]];
        }
        ordered.Quantize(pool);
        Stored.Multiply(pool, ordered, output);
    }
}
