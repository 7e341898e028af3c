using System;
using Lowbit.Core;

namespace Lowbit.Kernels.Blocks;

/// <summary>A matrix in ggml's blocks, whose bytes are codes and packed form at once.</summary>
public sealed unsafe class BlockCodes : MatrixCodes
{
    /// <summary>Creates a matrix of zero bytes.</summary>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features, a whole number of blocks.</param>
    /// <param name="format">A format of blocks.</param>
    public BlockCodes(int rows, int columns, ElementFormat format)
        : base(rows, columns)
    {
        if (columns % format.BlockLength() != 0) throw new ArgumentException($"{columns} columns are no whole blocks of {format}", nameof(columns));
        Format = format;
        RowBytes = (int)format.ByteCount(columns);
        Blocks = new byte[checked((long)rows * RowBytes)];
    }

    /// <summary>Of the blocks.</summary>
    public ElementFormat Format { get; }

    /// <summary>Bytes of a row.</summary>
    public int RowBytes { get; }

    /// <summary>[rows, <see cref="RowBytes"/>].</summary>
    public byte[] Blocks { get; }

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        int length = Format.BlockLength();
        float* values = stackalloc float[length];
        fixed (byte* blocks = Blocks)
            Dequantizer.ToFloatScalar(Format, blocks + (long)row * RowBytes + Format.ByteCount(column - column % length), length, values);
        return values[column % length];
    }

    /// <inheritdoc/>
    public override void Dequantize(Span<float> destination)
    {
        fixed (byte* blocks = Blocks)
        fixed (float* values = destination) Dequantizer.ToFloat(Format, blocks, (long)Rows * Columns, values);
    }
}
