using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Integers;

namespace Lowbit.Kernels.Composite;

/// <summary>A packed matrix of a sum and what its inputs go through first.</summary>
/// <param name="Input">x → T x.</param>
/// <param name="Weight">[outFeatures, features that the transform gives].</param>
/// <param name="InputBytes">Bytes of the stored numbers of the transform.</param>
/// <param name="HaarOutput">Whether the outputs go through the transform of <see cref="HaarInput"/> before they are added.</param>
public sealed record CompositeWeight(InputTransform Input, WeightMatrix Weight, long InputBytes, bool HaarOutput = false);

/// <summary>
/// A sum of packed weights, each behind a transform of the inputs: each transform is applied once a call, the products are
/// added in the order of the terms. In 8-bit mode transformed activations are rounded anew. Integers behind a step for each column round their
/// inputs themselves, so that they are multiplied with others of the same input in one go.
/// </summary>
public sealed unsafe class CompositeMatrix : WeightMatrix
{
    private static readonly HaarInput s_haar = new();

    [ThreadStatic]
    private static ActivationCache? t_inputs;

    [ThreadStatic]
    private static NativeBuffer? t_output;

    [ThreadStatic]
    private static NativeBuffer? t_row;

    [ThreadStatic]
    private static NativeBuffer? t_pair;

    private readonly IntegerMatrix? _scaledIntegers; // if that is all there is

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
        if (terms is [{ Input: ScaledInput { Factors: var steps }, Weight: IntegerMatrix integers, HaarOutput: false }]) _scaledIntegers = integers.Scaled(steps);
    }

    /// <summary>The terms.</summary>
    public ImmutableArray<CompositeWeight> Terms { get; }

    /// <inheritdoc/>
    public override string Format => string.Join('+', Terms.Select(term => term.Weight.Format));

    /// <inheritdoc/>
    public override long Bytes => Terms.Sum(term => term.Weight.Bytes + term.InputBytes);

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => (_scaledIntegers ?? Terms[0].Weight).KernelWidths;

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
            foreach (CompositeWeight term in Terms) Elementwise.Add(Row(term, r), sum, sum);
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        if (_scaledIntegers is { } integers && integers.UsesIntegers(activations))
        {
            integers.Multiply(pool, activations, output);
            return;
        }
        long size = (long)activations.Tokens * Rows;
        float* product = output;
        foreach (CompositeWeight term in Terms)
        {
            term.Weight.Multiply(pool, Transformed(pool, term.Input, activations), product);
            if (product != output || term.HaarOutput)
            {
                AddWork add = new() { Term = term, Product = product, Output = output };
                pool.Run(ref add, activations.Tokens, 16);
            }
            if (product != output) continue;
            // The first product goes to its place, the others through memory of this thread.
            product = (float*)Scratch.Ensure(ref t_output, size * sizeof(float));
        }
    }

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations) => _scaledIntegers?.PrepareTiles(pool, activations) ?? 0;

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => _scaledIntegers!.TileStart(tile);

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end) => _scaledIntegers!.MultiplyTiles(activations, output, start, end);

    // A row of M · T, or of the transform of its columns.
    private Span<float> Row(CompositeWeight term, int row)
    {
        float* pair = (float*)Scratch.Ensure(ref t_pair, 2L * Columns * sizeof(float));
        Span<float> first = new(pair, Columns), second = new(pair + Columns, Columns);
        int even = row & ~1;
        if (!term.HaarOutput || even + 1 == Rows)
        {
            Rebuild(term, row, first);
            return first;
        }
        Rebuild(term, even, first);
        Rebuild(term, even + 1, second);
        HaarInput.Combine(first, second);
        return row == even ? first : second;
    }

    private static void Rebuild(CompositeWeight term, int row, Span<float> destination)
    {
        int features = term.Weight.Columns;
        float* values = (float*)Scratch.Ensure(ref t_row, (long)features * sizeof(float));
        term.Weight.DequantizeRows(row, 1, values);
        destination.Clear();
        term.Input.AddRow(new ReadOnlySpan<float>(values, features), destination);
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

    private struct AddWork : IParallelWork
    {
        public CompositeWeight Term;
        public float* Product, Output;

        public readonly void Execute(int start, int end)
        {
            int rows = Term.Weight.Rows;
            for (int t = start; t < end; t++)
            {
                Span<float> product = new(Product + (long)t * rows, rows), output = new(Output + (long)t * rows, rows);
                if (Term.HaarOutput) s_haar.Apply(product, product);
                if (Product != Output) Elementwise.Add(product, output, output);
            }
        }
    }
}
