using System;
using System.Collections.Immutable;

namespace Lowbit.Kernels.Composite;

/// <summary>
/// A sum of quantized matrices, each behind a simple transform of the inputs: W = Σ_k M_k · T_k. Column scales (AWQ,
/// ARB-RC), columns or elements kept in high precision (LLM.int8, OWQ, SpQR), low-rank repair (LQER) and wavelets (HBLLM)
/// are terms of this form.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="terms">At least one.</param>
public sealed class CompositeCodes(int rows, int columns, ImmutableArray<CompositeTerm> terms) : MatrixCodes(rows, columns)
{
    /// <summary>The terms, summed in this order.</summary>
    public ImmutableArray<CompositeTerm> Terms { get; } = terms;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        float sum = 0;
        foreach (CompositeTerm term in Terms) sum += term.Dequantize(row, column);
        return sum;
    }

    /// <inheritdoc/>
    public override void Dequantize(Span<float> destination)
    {
        destination[..(Rows * Columns)].Clear();
        float[] product = new float[(long)Rows * Columns];
        foreach (CompositeTerm term in Terms)
        {
            int features = term.Codes.Columns;
            float[] values = new float[(long)Rows * features];
            term.Codes.Dequantize(values);
            Array.Clear(product);
            for (int r = 0; r < Rows; r++) term.Input.AddRow(values.AsSpan(r * features, features), product.AsSpan(r * Columns, Columns));
            for (int r = 0; term.HaarOutput && r + 2 <= Rows; r += 2) HaarInput.Combine(product.AsSpan(r * Columns, Columns), product.AsSpan((r + 1) * Columns, Columns));
            Elementwise.Add(product, destination, destination);
        }
    }
}

/// <summary>One matrix of a sum, what its inputs go through first and its outputs go through afterwards.</summary>
/// <param name="Input">x → T x.</param>
/// <param name="Codes">[outFeatures, features that the transform gives]; not itself a sum.</param>
/// <param name="HaarOutput">Whether the outputs go through the transform of <see cref="HaarInput"/> before they are added.</param>
public sealed record CompositeTerm(InputTransform Input, MatrixCodes Codes, bool HaarOutput = false)
{
    /// <summary>An element of M · T, or of the transform of its columns.</summary>
    public float Dequantize(int row, int column)
    {
        int first = row & ~1;
        if (!HaarOutput || first + 1 == Codes.Rows) return Input.Dequantize(Codes, row, column);
        float sum = Input.Dequantize(Codes, first, column), difference = Input.Dequantize(Codes, first + 1, column);
        return (row == first ? sum + difference : sum - difference) * HaarInput.Half;
    }
}
