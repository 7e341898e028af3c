namespace Lowbit.Kernels.Uniform;

/// <summary>
/// A matrix on uniform grids in plain arrays, before packing: weight = scale · (code − zero) with the scale and zero of
/// the row and the group of the column.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="bits">Bits of a code, 2 to 8.</param>
/// <param name="groupSize">Columns of a group; the last group of a row may be shorter.</param>
/// <param name="groupOfColumn">[columns], the group of every column, or null when groups are consecutive columns.</param>
/// <param name="realZeros">Whether zeros lie between codes, in <see cref="RealZeros"/> instead of <see cref="Zeros"/>.</param>
public sealed class UniformCodes(int rows, int columns, int bits, int groupSize, int[]? groupOfColumn = null, bool realZeros = false) : MatrixCodes(rows, columns)
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; } = bits;

    /// <summary>Columns of a group.</summary>
    public int GroupSize { get; } = groupSize;

    /// <summary>Groups of a row.</summary>
    public int Groups => (Columns + GroupSize - 1) / GroupSize;

    /// <summary>[columns], the group of every column where activation order scattered them; null when it is column / <see cref="GroupSize"/>.</summary>
    public int[]? GroupOfColumn { get; } = groupOfColumn;

    /// <summary>[rows, columns], in the natural order of the columns.</summary>
    public byte[] Codes { get; } = new byte[(long)rows * columns];

    /// <summary>[rows, <see cref="Groups"/>], step between two levels.</summary>
    public float[] Scales { get; } = new float[(long)rows * ((columns + groupSize - 1) / groupSize)];

    /// <summary>[rows, <see cref="Groups"/>], the code that means zero; empty with real zeros.</summary>
    public byte[] Zeros { get; } = new byte[realZeros ? 0 : (long)rows * ((columns + groupSize - 1) / groupSize)];

    /// <summary>[rows, <see cref="Groups"/>], the place of zero between the codes, or null where zeros are codes.</summary>
    public float[]? RealZeros { get; } = realZeros ? new float[(long)rows * ((columns + groupSize - 1) / groupSize)] : null;

    /// <summary>What <see cref="Scales"/> were decoded from, or null where they are stored as numbers.</summary>
    public NestedScales? Nested { get; init; }

    /// <summary>The group of a column.</summary>
    public int GroupOf(int column) => GroupOfColumn is null ? column / GroupSize : GroupOfColumn[column];

    /// <summary>The zero of a row and group, an element of <see cref="Zeros"/> or <see cref="RealZeros"/>.</summary>
    /// <param name="parameter">row · <see cref="Groups"/> + group.</param>
    public float Zero(long parameter) => RealZeros is null ? Zeros[parameter] : RealZeros[parameter];

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        long parameter = (long)row * Groups + GroupOf(column);
        return Scales[parameter] * (Codes[(long)row * Columns + column] - Zero(parameter));
    }
}
