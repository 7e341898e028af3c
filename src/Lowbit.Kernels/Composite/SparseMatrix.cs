using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>A packed matrix of few elements. They are multiplied with the activations as they are, in both modes.</summary>
public sealed unsafe class SparseMatrix : WeightMatrix
{
    private readonly List<object> _owners = [];
    private readonly uint* _starts;
    private readonly byte* _columns;
    private readonly Half* _values;
    private readonly bool _wide;

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="SparsePacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds positions out of order or a number that is not finite.</exception>
    public SparseMatrix(string name, SparseLayout layout, IReadOnlyDictionary<string, Tensor> parts) : base(layout.Check(name).Rows, layout.Columns)
    {
        Layout = layout;
        PartReader reader = new(name, parts, _owners);
        _wide = layout.IndexFormat == ElementFormat.U32;
        _starts = (uint*)reader.Bytes(SparsePacking.Starts, ElementFormat.U32, ((long)Rows + 1) * sizeof(uint));
        _columns = reader.Bytes(SparsePacking.Columns, layout.IndexFormat, layout.IndexFormat.ByteCount(layout.Elements));
        if (layout.Elements > 0) _values = (Half*)reader.Scales(SparsePacking.Values, ElementFormat.F16, layout.Elements);
        uint[] columns = new uint[layout.Elements];
        for (int i = 0; i < columns.Length; i++) columns[i] = (uint)Column(i);
        if (SparsePacking.Fault(layout, new ReadOnlySpan<uint>(_starts, Rows + 1), columns) is { } fault)
            throw new LowbitException($"{name}: {fault}; the file is damaged.");
    }

    /// <summary>How the parts lie.</summary>
    public SparseLayout Layout { get; }

    /// <inheritdoc/>
    public override string Format => "sparse";

    /// <inheritdoc/>
    public override long Bytes => ((long)Rows + 1) * sizeof(uint) + (long)Layout.Elements * (sizeof(ushort) + (_wide ? sizeof(uint) : sizeof(ushort)));

    /// <summary>Turns the packed form back into plain arrays.</summary>
    public SparseCodes Unpack()
    {
        int[] starts = new int[Rows + 1], columns = new int[Layout.Elements];
        float[] values = new float[Layout.Elements];
        for (int r = 0; r <= Rows; r++) starts[r] = (int)_starts[r];
        for (int i = 0; i < values.Length; i++) (columns[i], values[i]) = (Column(i), (float)_values[i]);
        return new SparseCodes(Rows, Columns, starts, columns, values);
    }

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            new Span<float>(destination, Columns).Clear();
            for (uint i = _starts[r]; i < _starts[r + 1]; i++) destination[Column(i)] = FiniteHalf.ToFloat(_values[i]);
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        Work work = new() { Matrix = this, X = activations.Values, Tokens = activations.Tokens, Output = output };
        pool.Run(ref work, Rows, 64);
    }

    private int Column(long i) => _wide ? (int)((uint*)_columns)[i] : ((ushort*)_columns)[i];

    private struct Work : IParallelWork
    {
        public SparseMatrix Matrix;
        public float* X, Output;
        public int Tokens;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int t = 0; t < Tokens; t++)
                {
                    float* x = X + (long)t * Matrix.Columns;
                    float sum = 0;
                    for (uint i = Matrix._starts[r]; i < Matrix._starts[r + 1]; i++) sum += FiniteHalf.ToFloat(Matrix._values[i]) * x[Matrix.Column(i)];
                    Output[(long)t * Matrix.Rows + r] = sum;
                }
        }
    }
}
