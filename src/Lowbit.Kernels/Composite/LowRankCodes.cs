namespace Lowbit.Kernels.Composite;

/// <summary>A product of two thin matrices in half precision: L · R.</summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="rank">Inner dimension.</param>
public sealed class LowRankCodes(int rows, int columns, int rank) : MatrixCodes(rows, columns)
{
    /// <summary>Inner dimension.</summary>
    public int Rank { get; } = rank;

    /// <summary>[rows, rank], numbers that half precision holds exactly.</summary>
    public float[] Left { get; } = new float[(long)rows * rank];

    /// <summary>[rank, columns], numbers that half precision holds exactly.</summary>
    public float[] Right { get; } = new float[(long)rank * columns];

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        float sum = 0;
        for (int k = 0; k < Rank; k++) sum += Left[(long)row * Rank + k] * Right[(long)k * Columns + column];
        return sum;
    }
}
