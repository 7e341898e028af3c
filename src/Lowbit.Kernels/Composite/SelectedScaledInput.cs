using System;

namespace Lowbit.Kernels.Composite;

/// <summary>Some of the inputs, each times a factor.</summary>
/// <param name="Columns">Which, rising.</param>
/// <param name="Factors">Of each of them, numbers that half precision holds exactly.</param>
public sealed record SelectedScaledInput(int[] Columns, float[] Factors) : InputTransform
{
    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column)
    {
        int i = Array.BinarySearch(Columns, column);
        return i < 0 ? 0 : codes.Dequantize(row, i) * Factors[i];
    }

    /// <inheritdoc/>
    public override int Features(int columns) => Columns.Length;

    /// <inheritdoc/>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs)
    {
        for (int i = 0; i < Columns.Length; i++) outputs[i] = inputs[Columns[i]] * Factors[i];
    }

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination)
    {
        for (int i = 0; i < Columns.Length; i++) destination[Columns[i]] += row[i] * Factors[i];
    }
}
