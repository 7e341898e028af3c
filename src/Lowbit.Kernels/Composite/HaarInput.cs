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
    /// <remarks>The outputs may be the inputs.</remarks>
    public override void Apply(ReadOnlySpan<float> inputs, Span<float> outputs)
    {
        int c = 0;
        for (; c + 2 <= inputs.Length; c += 2)
        {
            float first = inputs[c], second = inputs[c + 1];
            outputs[c] = (first + second) * Half;
            outputs[c + 1] = (first - second) * Half;
        }
        if (c < inputs.Length) outputs[c] = inputs[c];
    }

    /// <inheritdoc/>
    public override void AddRow(ReadOnlySpan<float> row, Span<float> destination)
    {
        int c = 0;
        for (; c + 2 <= row.Length; c += 2)
        {
            destination[c] += (row[c] + row[c + 1]) * Half;
            destination[c + 1] += (row[c] - row[c + 1]) * Half;
        }
        if (c < row.Length) destination[c] += row[c];
    }

    /// <summary>The transform of two neighbouring rows of a matrix.</summary>
    /// <param name="first">One row, which becomes the sums.</param>
    /// <param name="second">The next, which becomes the differences.</param>
    public static void Combine(Span<float> first, Span<float> second)
    {
        for (int c = 0; c < first.Length; c++) (first[c], second[c]) = ((first[c] + second[c]) * Half, (first[c] - second[c]) * Half);
    }
}
