namespace Lowbit.Kernels.Composite;

/// <summary>A matrix whose elements are kept in half precision.</summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="values">[rows, columns], numbers that half precision holds exactly.</param>
public sealed class PlainCodes(int rows, int columns, float[] values) : MatrixCodes(rows, columns)
{
    /// <summary>[rows, columns].</summary>
    public float[] Values { get; } = values;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column) => Values[(long)row * Columns + column];
}
