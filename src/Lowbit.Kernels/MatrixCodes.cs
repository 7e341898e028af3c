using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// A quantized matrix in plain arrays, before packing: what a method produces and what a packer takes. Its subclasses are
/// the definitions that packed layouts and kernels are held against.
/// </summary>
public abstract class MatrixCodes
{
    /// <summary>Sets the shape.</summary>
    protected MatrixCodes(int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        if ((long)rows * columns > Array.MaxLength)
            throw new LowbitException($"a matrix of {rows} x {columns} weights was to be quantized; at most {Array.MaxLength} weights are possible.");
        Rows = rows;
        Columns = columns;
    }

    /// <summary>Output features.</summary>
    public int Rows { get; }

    /// <summary>Input features.</summary>
    public int Columns { get; }

    /// <summary>Rebuilds one weight.</summary>
    public abstract float Dequantize(int row, int column);

    /// <summary>Rebuilds the matrix.</summary>
    /// <param name="destination">[rows, columns].</param>
    public virtual void Dequantize(Span<float> destination)
    {
        for (int r = 0; r < Rows; r++)
            for (int c = 0; c < Columns; c++) destination[r * Columns + c] = Dequantize(r, c);
    }
}
