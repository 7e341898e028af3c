using System;

namespace Lowbit.Kernels.Composite;

/// <summary>Some of the inputs, each times a factor.</summary>
/// <param name="Columns">Which, rising.</param>
/// <param name="Factors">Of each of them, stored in half precision.</param>
public sealed record SelectedScaledInput(int[] Columns, float[] Factors) : InputTransform
{
    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column)
    {
        int i = Array.BinarySearch(Columns, column);
        return i < 0 ? 0 : codes.Dequantize(row, i) * Factors[i];
    }
}
