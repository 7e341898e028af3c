using System.Collections.Immutable;

namespace Lowbit.Kernels.Tables;

/// <summary>
/// A matrix of 4-bit codes into a table of levels in plain arrays, before packing: weight = scale · table[code]. Scales
/// belong to blocks of consecutive elements of the matrix read row after row, so that a block may go over the end of a row.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="table">[16] levels.</param>
/// <param name="blockSize">Elements of a block, an even number; the last block may be shorter.</param>
public sealed class TableCodes(int rows, int columns, ImmutableArray<float> table, int blockSize) : MatrixCodes(rows, columns)
{
    /// <summary>[16] levels.</summary>
    public ImmutableArray<float> Table { get; } = table;

    /// <summary>Elements of a block.</summary>
    public int BlockSize { get; } = blockSize;

    /// <summary>Blocks of the matrix.</summary>
    public int Blocks => (int)(((long)Rows * Columns + BlockSize - 1) / BlockSize);

    /// <summary>[rows, columns].</summary>
    public byte[] Codes { get; } = new byte[(long)rows * columns];

    /// <summary>[<see cref="Blocks"/>] scales, which are what <see cref="Nested"/> rebuilds where that is set.</summary>
    public float[] Scales { get; } = new float[((long)rows * columns + blockSize - 1) / blockSize];

    /// <summary>The scales in 8 bits, or null where they are stored as floats.</summary>
    public NestedScales? Nested { get; init; }

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        long i = (long)row * Columns + column;
        return Table[Codes[i]] * Scales[i / BlockSize];
    }
}

/// <summary>
/// Scales of blocks as 8-bit codes into a table ("double quantization"): scale b is
/// table[code_b] · scale[b / 256] + offset.
/// </summary>
/// <param name="Table">[256] levels.</param>
/// <param name="Codes">[blocks].</param>
/// <param name="Scales">[blocks / 256, rounded up].</param>
/// <param name="Offset">What was taken off all scales before they were quantized.</param>
public sealed record NestedScales(ImmutableArray<float> Table, byte[] Codes, float[] Scales, float Offset)
{
    /// <summary>Codes that share a scale.</summary>
    public const int BlockSize = 256;

    /// <summary>Rebuilds one scale.</summary>
    public float Decode(int block) => Table[Codes[block]] * Scales[block / BlockSize] + Offset;
}
