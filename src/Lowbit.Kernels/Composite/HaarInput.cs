using System;

namespace Lowbit.Kernels.Composite;

/// <summary>
/// One level of the Haar transform over neighbouring inputs: x₂ₖ, x₂ₖ₊₁ become (x₂ₖ + x₂ₖ₊₁) / √2 and (x₂ₖ − x₂ₖ₊₁) / √2, in their
/// places; a last input without a neighbour stays. It is its own inverse and keeps lengths.
/// </summary>
public sealed record HaarInput : InputTransform
{
    /// <summary>1 / √2.</summary>
    public const float Half = 0.70710678f;

    /// <inheritdoc/>
    public override float Dequantize(MatrixCodes codes, int row, int column)
    {
        int first = column & ~1;
        if (first + 1 == codes.Columns) return codes.Dequantize(row, column);
        float sum = codes.Dequantize(row, first), difference = codes.Dequantize(row, first + 1);
        return (column == first ? sum + difference : sum - difference) * Half;
    }

    /// <inheritdoc/>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs)
    {
        inputs.CopyTo(outputs);
        InPlace(outputs);
    }

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination)
    {
        int c = 0;
        for (; c + 1 < row.Length; c += 2)
        {
            destination[c] += (row[c] + row[c + 1]) * Half;
            destination[c + 1] += (row[c] - row[c + 1]) * Half;
        }
        if (c < row.Length) destination[c] += row[c];
    }

    /// <summary>The transform of the elements of a vector.</summary>
    internal static void InPlace(Span<float> x)
    {
        for (int k = 0; k + 1 < x.Length; k += 2) (x[k], x[k + 1]) = ((x[k] + x[k + 1]) * Half, (x[k] - x[k + 1]) * Half);
    }

    /// <summary>The transform over two rows.</summary>
    internal static void InPlace(Span<float> first, Span<float> second)
    {
        for (int c = 0; c < first.Length; c++) (first[c], second[c]) = ((first[c] + second[c]) * Half, (first[c] - second[c]) * Half);
    }
}
