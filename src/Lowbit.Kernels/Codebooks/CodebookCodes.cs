namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// A matrix of codes of 1 to 4 bits into small codebooks in plain arrays, before packing: every row has a codebook of
/// 2^bits levels for each group of consecutive columns and, where columns come in two classes, for each class within
/// the group. Binary weights with a mean, ternary ones, sums of two binary planes, weights split by magnitude and levels
/// found by k-means are all of this form.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="bits">Bits of a code, 1 to 4.</param>
/// <param name="groupSize">Columns of a group; the last group of a row may be shorter.</param>
/// <param name="secondClass">[columns], true for columns of the second class; null where there is one class.</param>
public sealed class CodebookCodes(int rows, int columns, int bits, int groupSize, bool[]? secondClass = null) : MatrixCodes(rows, columns)
{
    /// <summary>Bits of a code, 1 to 4.</summary>
    public int Bits { get; } = bits;

    /// <summary>Columns of a group.</summary>
    public int GroupSize { get; } = groupSize;

    /// <summary>Groups of a row.</summary>
    public int Groups => (Columns + GroupSize - 1) / GroupSize;

    /// <summary>[columns], true for columns of the second class (the salient ones of BiLLM and ARB-LLM), or null.</summary>
    public bool[]? SecondClass { get; } = secondClass;

    /// <summary>1 or 2.</summary>
    public int Classes => SecondClass is null ? 1 : 2;

    /// <summary>[rows, columns].</summary>
    public byte[] Codes { get; } = new byte[(long)rows * columns];

    /// <summary>[rows, <see cref="Groups"/>, <see cref="Classes"/>, 2^<see cref="Bits"/>].</summary>
    public float[] Levels { get; } = new float[(long)rows * ((columns + groupSize - 1) / groupSize) * (secondClass is null ? 1 : 2) << bits];

    /// <summary>Where the codebook of a weight begins in <see cref="Levels"/>.</summary>
    public long Codebook(int row, int column) =>
        (((long)row * Groups + column / GroupSize) * Classes + (SecondClass is not null && SecondClass[column] ? 1 : 0)) << Bits;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column) => Levels[Codebook(row, column) + Codes[(long)row * Columns + column]];
}
