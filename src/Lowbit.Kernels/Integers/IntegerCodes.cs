namespace Lowbit.Kernels.Integers;

/// <summary>
/// A matrix of small integers in plain arrays, before packing: weight = value. What a step in each column makes of them
/// is the matter of a <see cref="Composite.ScaledInput"/>. Packed they take about as many bits as their entropy.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
public sealed class IntegerCodes(int rows, int columns) : MatrixCodes(rows, columns)
{
    /// <summary>[rows, columns].</summary>
    public sbyte[] Values { get; } = new sbyte[(long)rows * columns];

    /// <inheritdoc/>
    public override float Dequantize(int row, int column) => Values[(long)row * Columns + column];
}
