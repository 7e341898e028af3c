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
}
