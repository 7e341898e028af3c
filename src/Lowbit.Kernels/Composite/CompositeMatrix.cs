using System;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>A packed matrix of a sum, what its inputs go through first and its outputs go through afterwards.</summary>
/// <param name="Input">x → T x.</param>
/// <param name="Weight">[outFeatures, features that the transform gives].</param>
/// <param name="InputBytes">Bytes of the stored numbers of the transform.</param>
/// <param name="HaarOutput">Whether the outputs go through the transform of <see cref="HaarInput"/> before they are added.</param>
public sealed record CompositeWeight(InputTransform Input, WeightMatrix Weight, long InputBytes, bool HaarOutput = false);

/// <summary>
/// A sum of packed weights, each behind a transform of the inputs: each transform is applied once a call, the products are
/// added in the order of the terms. In 8-bit mode transformed activations are rounded anew.
/// </summary>
public sealed unsafe class CompositeMatrix : WeightMatrix
{
    [ThreadStatic]
    private static ActivationCache? t_inputs;

    [ThreadStatic]
    private static NativeBuffer? t_output;

    [ThreadStatic]
    private static NativeBuffer? t_row;

    /// <summary>Takes the terms.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="terms">At least one.</param>
    /// <exception cref="LowbitException">There is no term, or one that has another shape.</exception>
    public CompositeMatrix(string name, int rows, int columns, ImmutableArray<CompositeWeight> terms) : base(rows, columns)
    {
        if (terms.IsEmpty) throw new LowbitException($"{name}: the sum has no terms, at least one was expected; the file is damaged.");
        for (int k = 0; k < terms.Length; k++)
        {
            int features = terms[k].Input.Features(columns);
            if (terms[k].Weight.Rows != rows || terms[k].Weight.Columns != features)
                throw new LowbitException($"{name}: term {k} is [{terms[k].Weight.Rows}, {terms[k].Weight.Columns}], expected [{rows}, {features}]; the file is damaged.");
        }
        Terms = terms;
    }

    /// <summary>The terms.</summary>
    public ImmutableArray<CompositeWeight> Terms { get; }

    /// <inheritdoc/>
    public override string Format => string.Join('+', Terms.Select(term => term.Weight.Format));

    /// <inheritdoc/>
    public override long Bytes => Terms.Sum(term => term.Weight.Bytes + term.InputBytes);

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            Span<float> sum = new(destination, Columns);
            sum.Clear();
            foreach (CompositeWeight term in Terms)
            {
                int features = term.Weight.Columns;
                float* row = (float*)Scratch.Ensure(ref t_row, 2L * features * sizeof(float));
                int first = r & ~1;
                if (term.HaarOutput && first + 1 < Rows)
                {
                    term.Weight.DequantizeRows(first, 2, row);
                    HaarInput.InPlace(new Span<float>(row, features), new Span<float>(row + features, features));
                    if (r > first) row += features;
                }
                else
                {
                    term.Weight.DequantizeRows(r, 1, row);
                }
                term.Input.AddRow(new ReadOnlySpan<float>(row, features), sum);
            }
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        long size = (long)activations.Tokens * Rows;
        float* product = output;
        foreach (CompositeWeight term in Terms)
        {
            term.Weight.Multiply(pool, Transformed(pool, term.Input, activations), product);
            if (term.HaarOutput)
            {
                TurnWork turn = new() { Product = product, Rows = Rows };
                pool.Run(ref turn, activations.Tokens, 16);
            }
            if (product != output)
            {
                AddWork add = new() { Product = product, Output = output, Rows = Rows };
                pool.Run(ref add, activations.Tokens, 16);
            }
            // The first product goes to its place, the others through memory of this thread.
            else product = (float*)Scratch.Ensure(ref t_output, size * sizeof(float));
        }
    }

    private static Activations Transformed(WorkerPool pool, InputTransform transform, Activations activations)
    {
        if (transform is WholeInput) return activations;
        Activations transformed = (t_inputs ??= new()).Like(activations, transform.Features(activations.Features));
        TransformWork work = new() { Transform = transform, From = activations, To = transformed };
        pool.Run(ref work, activations.Tokens, 1);
        transformed.Quantize(pool);
        return transformed;
    }

    private struct TransformWork : IParallelWork
    {
        public InputTransform Transform;
        public Activations From, To;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
                Transform.Apply(new ReadOnlySpan<float>(From.Values + (long)t * From.Features, From.Features), new Span<float>(To.Values + (long)t * To.Features, To.Features));
        }
    }

    private struct TurnWork : IParallelWork
    {
        public float* Product;
        public int Rows;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++) HaarInput.InPlace(new Span<float>(Product + (long)t * Rows, Rows));
        }
    }

    private struct AddWork : IParallelWork
    {
        public float* Product, Output;
        public int Rows;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                Span<float> output = new(Output + (long)t * Rows, Rows);
                Elementwise.Add(output, new ReadOnlySpan<float>(Product + (long)t * Rows, Rows), output);
            }
        }
    }
}
