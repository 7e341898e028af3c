namespace Lowbit.Kernels.Floats;

/// <summary>How the scales of blocks are stored.</summary>
public enum BlockScale
{
    /// <summary>IEEE 754 binary16.</summary>
    F16,
    /// <summary>IEEE 754 binary32.</summary>
    F32,
    /// <summary>A power of two, 2^(code − 127), code 0 to 254: the shared exponent of the microscaling formats.</summary>
    E8M0,
    /// <summary>E4M3 times one float32 of the matrix, as in NVFP4.</summary>
    E4M3,
}

/// <summary>
/// A matrix of small floats in plain arrays, before packing: weight = number(code) · scale, with a scale for each block of
/// consecutive columns of a row.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="element">Format of the numbers.</param>
/// <param name="blockSize">Columns of a block; the last block of a row may be shorter.</param>
/// <param name="scaleFormat">How the scales are stored.</param>
public sealed class FloatCodes(int rows, int columns, SmallFloat element, int blockSize, BlockScale scaleFormat) : MatrixCodes(rows, columns)
{
    /// <summary>Format of the numbers.</summary>
    public SmallFloat Element { get; } = element;

    /// <summary>Columns of a block.</summary>
    public int BlockSize { get; } = blockSize;

    /// <summary>How the scales are stored.</summary>
    public BlockScale ScaleFormat { get; } = scaleFormat;

    /// <summary>Blocks of a row.</summary>
    public int Blocks => (Columns + BlockSize - 1) / BlockSize;

    /// <summary>[rows, columns].</summary>
    public byte[] Codes { get; } = new byte[(long)rows * columns];

    /// <summary>[rows, <see cref="Blocks"/>], numbers that the format of the scales holds exactly, E4M3 before it is multiplied.</summary>
    public float[] Scales { get; } = new float[(long)rows * ((columns + blockSize - 1) / blockSize)];

    /// <summary>What all scales are multiplied with; 1 but for <see cref="BlockScale.E4M3"/>.</summary>
    public float MatrixScale { get; init; } = 1;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column) =>
        Element.Decode(Codes[(long)row * Columns + column]) * (Scales[(long)row * Blocks + column / BlockSize] * MatrixScale);
}
