using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>What the products with packed weights take.</summary>
public enum ActivationMode
{
    /// <summary>Activations as they are, float32: the result is that of the dequantized weights up to rounding of sums.</summary>
    Float,
    /// <summary>Activations rounded to 8-bit integers with a scale for every block of a row; sums are kept in integers.</summary>
    EightBit,
}

/// <summary>
/// A weight [outFeatures, inFeatures] in whatever form it is stored; products are computed from the stored bytes.
/// </summary>
public abstract class WeightMatrix
{
    /// <summary>Sets the shape.</summary>
    protected WeightMatrix(int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        Rows = rows;
        Columns = columns;
    }

    /// <summary>Output features.</summary>
    public int Rows { get; }

    /// <summary>Input features.</summary>
    public int Columns { get; }

    /// <summary>Name of the storage format, as <c>inspect</c> prints it.</summary>
    public abstract string Format { get; }

    /// <summary>Bytes of the stored form that one product reads.</summary>
    public abstract long Bytes { get; }

    /// <summary>
    /// Widths in bits of the vectors of the kernels that products in 8-bit mode can take on this processor, the widest first: what
    /// <see cref="VectorLimit"/> chooses from. 0 is the code without vectors of a fixed width.
    /// </summary>
    public virtual IReadOnlyList<int> KernelWidths => Gemm.Widths;

    /// <summary>Rebuilds consecutive rows as floats.</summary>
    /// <param name="firstRow">First row.</param>
    /// <param name="rowCount">Number of rows.</param>
    /// <param name="destination">[<paramref name="rowCount"/>, <see cref="Columns"/>], row after row.</param>
    public abstract unsafe void DequantizeRows(int firstRow, int rowCount, float* destination);

    /// <summary>
    /// output = activations · Wᵀ: output[t, r] = Σ_c activations[t, c] · W[r, c]. Results do not depend on the number of
    /// threads. Allocates nothing.
    /// </summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="activations">[tokens, inFeatures]; in 8-bit mode <see cref="Activations.Quantize"/> has been called.</param>
    /// <param name="output">[tokens, outFeatures], overwritten.</param>
    public abstract unsafe void Multiply(WorkerPool pool, Activations activations, float* output);

    /// <summary>Rows of a tile, of those weights that lie in tiles.</summary>
    internal const int RowsOfTile = 16;

    /// <summary>
    /// How far before it is needed a line is asked for, into the first cache. Measured: where a kernel computes between two loads, the processor
    /// does not run far enough ahead by itself, and what is fetched into the second cache comes more slowly
    /// (bench/results/amd-epyc-zen5/2026-11-30.md).
    /// </summary>
    internal const int Ahead = 1 << 12;

    /// <summary>Makes ready what <see cref="MultiplyTiles"/> reads.</summary>
    /// <returns>Number of tiles; 0 where this product is not computed tile by tile.</returns>
    internal virtual int PrepareTiles(WorkerPool pool, Activations activations) => 0;

    /// <summary>Where a tile begins that <see cref="PrepareTiles"/> has made ready.</summary>
    internal virtual unsafe byte* TileStart(int tile) => throw new NotSupportedException();

    /// <summary>The rows of some tiles of the product, by the calling thread.</summary>
    internal virtual unsafe void MultiplyTiles(Activations activations, float* output, int start, int end) => throw new NotSupportedException();
}
