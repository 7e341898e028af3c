using System;

namespace Lowbit.Kernels.Composite;

/// <summary>What is done to the inputs of a matrix before the product: x → T x, one token at a time.</summary>
public abstract record InputTransform
{
    /// <summary>An element of M · T.</summary>
    /// <param name="codes">M.</param>
    /// <param name="row">Output feature.</param>
    /// <param name="column">Input feature, before the transform.</param>
    public abstract float Dequantize(MatrixCodes codes, int row, int column);

    /// <summary>Features that the transform gives.</summary>
    /// <param name="columns">Features that it takes.</param>
    public virtual int Features(int columns) => columns;

    /// <summary>Writes T x.</summary>
    /// <param name="inputs">x, [columns].</param>
    /// <param name="outputs">[<see cref="Features"/>], overwritten.</param>
    public abstract void Apply(ReadOnlySpan<float> inputs, Span<float> outputs);

    /// <summary>Adds m T, a row of M · T, to what the destination holds.</summary>
    /// <param name="row">m, a row of M, [<see cref="Features"/>].</param>
    /// <param name="destination">[columns].</param>
    public abstract void AddRow(ReadOnlySpan<float> row, Span<float> destination);
}

/// <summary>The inputs as they are.</summary>
public sealed record WholeInput : InputTransform
{
    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column) => codes.Dequantize(row, column);

    /// <inheritdoc/>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs) => inputs.CopyTo(outputs);

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination) => Elementwise.Add(row, destination, destination);
}

/// <summary>Every input times a factor: M · diag(factors).</summary>
/// <param name="Factors">[inFeatures], numbers that half precision holds exactly.</param>
public sealed record ScaledInput(float[] Factors) : InputTransform
{
    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column) => codes.Dequantize(row, column) * Factors[column];

    /// <inheritdoc/>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs) => Elementwise.Multiply(inputs, Factors, outputs);

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination)
    {
        for (int c = 0; c < row.Length; c++) destination[c] += row[c] * Factors[c];
    }
}

/// <summary>Some of the inputs.</summary>
/// <param name="Columns">Which, rising.</param>
public sealed record SelectedInput(int[] Columns) : InputTransform
{
    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column)
    {
        int i = Array.BinarySearch(Columns, column);
        return i < 0 ? 0 : codes.Dequantize(row, i);
    }

    /// <inheritdoc/>
    public override int Features(int columns) => Columns.Length;

    /// <inheritdoc/>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs)
    {
        for (int i = 0; i < Columns.Length; i++) outputs[i] = inputs[Columns[i]];
    }

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination)
    {
        for (int i = 0; i < Columns.Length; i++) destination[Columns[i]] += row[i];
    }
}
