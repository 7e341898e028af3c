namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// A partially binarized matrix in plain arrays, before packing: what a method produces and what the packer takes.
/// Every weight is either salient or low. With q its code,
/// a salient weight is highScale · (q − highZero), q of <see cref="HighBits"/> bits;
/// a low weight is lowMean + lowScale · (2q − (2^<see cref="LowBits"/> − 1)), so that one bit gives lowMean ∓ lowScale,
/// and no bits give lowMean (pruned weights have mean 0).
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="lowBits">Bits of a low weight: 0 (pruned), 1 (binarized) or 2.</param>
/// <param name="highBits">Bits of a salient weight, 2 to 8.</param>
/// <param name="lowGroupSize">Consecutive columns that share lowScale and lowMean; the last group of a row may be shorter.</param>
/// <param name="highGroupSize">Consecutive columns that share highScale and highZero.</param>
public sealed class PartiallyBinarizedCodes(int rows, int columns, int lowBits, int highBits, int lowGroupSize, int highGroupSize) : MatrixCodes(rows, columns)
{
    /// <summary>Bits of a low weight: 0, 1 or 2.</summary>
    public int LowBits { get; } = lowBits;

    /// <summary>Bits of a salient weight, 2 to 8.</summary>
    public int HighBits { get; } = highBits;

    /// <summary>Columns of a group of low weights.</summary>
    public int LowGroupSize { get; } = lowGroupSize;

    /// <summary>Columns of a group of salient weights.</summary>
    public int HighGroupSize { get; } = highGroupSize;

    /// <summary>Groups of a row for the low weights.</summary>
    public int LowGroups => (Columns + LowGroupSize - 1) / LowGroupSize;

    /// <summary>Groups of a row for the salient weights.</summary>
    public int HighGroups => (Columns + HighGroupSize - 1) / HighGroupSize;

    /// <summary>[rows, columns], true where the weight is salient.</summary>
    public bool[] Salient { get; } = new bool[(long)rows * columns];

    /// <summary>[rows, columns], the code of every weight in its own grid.</summary>
    public byte[] Codes { get; } = new byte[(long)rows * columns];

    /// <summary>[rows, <see cref="LowGroups"/>], half the step between two low levels.</summary>
    public float[] LowScale { get; } = new float[(long)rows * ((columns + lowGroupSize - 1) / lowGroupSize)];

    /// <summary>[rows, <see cref="LowGroups"/>], centre of the low levels.</summary>
    public float[] LowMean { get; } = new float[(long)rows * ((columns + lowGroupSize - 1) / lowGroupSize)];

    /// <summary>[rows, <see cref="HighGroups"/>], step between two salient levels.</summary>
    public float[] HighScale { get; } = new float[(long)rows * ((columns + highGroupSize - 1) / highGroupSize)];

    /// <summary>[rows, <see cref="HighGroups"/>], the code that means zero, 0 to 2^<see cref="HighBits"/> − 1.</summary>
    public byte[] HighZero { get; } = new byte[(long)rows * ((columns + highGroupSize - 1) / highGroupSize)];

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        long i = (long)row * Columns + column;
        if (Salient[i])
        {
            long high = (long)row * HighGroups + column / HighGroupSize;
            return HighScale[high] * (Codes[i] - HighZero[high]);
        }
        long low = (long)row * LowGroups + column / LowGroupSize;
        return LowMean[low] + LowScale[low] * (2 * Codes[i] - ((1 << LowBits) - 1));
    }
}
