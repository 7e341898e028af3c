using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels;

/// <summary>
/// A weight stored as floats or as blocks of quantized numbers, read straight from the memory of its tensor.
/// </summary>
/// <remarks>
/// 8-bit activations and blocks: integer sums, the same with any kernel to the last bit, from a copy with interleaved rows
/// that the first such product makes; the pages of the file are given back then. Otherwise the product takes float
/// activations and equals that of the dequantized weights up to rounding of sums.
/// </remarks>
public sealed unsafe class DenseMatrix : WeightMatrix
{
    private const int ManyTokens = 4;   // from here on rebuilding whole panels for the blocked product is faster
    private const int ChunkElements = 1024;

    private readonly Tensor _tensor;
    private readonly long _rowBytes;
    private readonly InterleavedCopy? _interleaved; // of formats of blocks

    /// <summary>Takes the tensor as it lies.</summary>
    /// <param name="tensor">[outFeatures, inFeatures] of any real element format.</param>
    /// <exception cref="LowbitException">The tensor is no matrix of real numbers, or its size does not fit its shape.</exception>
    public DenseMatrix(Tensor tensor) : base(Check(tensor).Rows, Check(tensor).Columns)
    {
        _tensor = tensor;
        _rowBytes = tensor.RowBytes;
        if (InterleavedWeights.Supports(tensor.Format)) _interleaved = new InterleavedCopy(pool => InterleavedWeights.Create(pool, tensor));
    }

    /// <summary>The tensor as it lies.</summary>
    public Tensor Tensor => _tensor;

    /// <inheritdoc/>
    public override string Format => _tensor.Format.ToString();

    /// <inheritdoc/>
    public override long Bytes => _tensor.Bytes;

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => _interleaved is null ? Gemm.Widths : InterleavedWeights.Widths;

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        Dequantizer.ToFloat(_tensor.Format, _tensor.Pointer + firstRow * _rowBytes, (long)rowCount * Columns, destination);
        if (_interleaved?.Made is not null) _tensor.ReleasePages(); // an embedding that is also the output projection: the weights are there once more
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        int tokens = activations.Tokens;
        if (activations.Mode == ActivationMode.EightBit && _interleaved is { } interleaved)
        {
            interleaved.Get(pool).Multiply(pool, activations, output);
        }
        else if (tokens < ManyTokens)
        {
            RowWork work = new() { Matrix = this, X = activations.Values, Tokens = tokens, Output = output };
            pool.Run(ref work, Rows, Math.Clamp((1 << 15) / Columns, 1, 64));
        }
        else if (_tensor.Format == ElementFormat.F32 && IsAligned)
        {
            Gemm.MultiplyTransposed(pool, activations.Values, Columns, (float*)_tensor.Pointer, Columns, output, Rows, tokens, Rows, Columns);
        }
        else
        {
            DequantizedProduct.Multiply(pool, this, activations.Values, tokens, output);
        }
    }

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations) =>
        activations.Mode == ActivationMode.EightBit && _interleaved is { } interleaved ? interleaved.Get(pool).TilesFor(activations.Tokens) : 0;

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => _interleaved!.Made!.TileStart(tile);

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end) => _interleaved!.Made!.MultiplyTiles(activations, output, start, end);

    // Tensors of a file need not begin at a multiple of four.
    private bool IsAligned => (nint)_tensor.Pointer % sizeof(float) == 0;

    private static (int Rows, int Columns) Check(Tensor tensor)
    {
        if (!tensor.Format.IsReal())
            throw new LowbitException($"tensor {tensor.Name}: elements of format {tensor.Format} are no real numbers; a weight needs a float or block format.");
        if (tensor.Shape.Length != 2)
            throw new LowbitException($"tensor {tensor.Name}: the shape {tensor.ShapeText} is not that of a matrix; a weight needs two dimensions.");
        long rows = tensor.Shape[0], columns = tensor.Shape[1];
        if (rows is <= 0 or > int.MaxValue || columns is <= 0 or > int.MaxValue || columns % tensor.Format.BlockLength() != 0)
            throw new LowbitException($"tensor {tensor.Name}: the shape {tensor.ShapeText} cannot be stored as {tensor.Format}, whose blocks have {tensor.Format.BlockLength()} elements.");
        if (tensor.Bytes != tensor.Format.ByteCount(rows * columns))
            throw new LowbitException($"tensor {tensor.Name}: {tensor.Bytes} bytes do not fit the shape {tensor.ShapeText} of {tensor.Format}, which takes {tensor.Format.ByteCount(rows * columns)}.");
        return ((int)rows, (int)columns);
    }

    private struct RowWork : IParallelWork
    {
        public DenseMatrix Matrix;
        public float* X, Output;
        public int Tokens;

        public readonly void Execute(int start, int end)
        {
            int columns = Matrix.Columns, rows = Matrix.Rows;
            if (Matrix._tensor.Format == ElementFormat.F32)
            {
                for (int r = start; r < end; r++)
                {
                    ReadOnlySpan<float> row = new(Matrix._tensor.Pointer + r * Matrix._rowBytes, columns);
                    for (int t = 0; t < Tokens; t++)
                        Output[(long)t * rows + r] = VectorMath.Dot(row, new ReadOnlySpan<float>(X + (long)t * columns, columns));
                }
                return;
            }
            float* chunk = stackalloc float[ChunkElements];
            float* sums = stackalloc float[ManyTokens];
            ElementFormat format = Matrix._tensor.Format;
            for (int r = start; r < end; r++)
            {
                if (HalfRow.IsSupported(format) && Halves(r)) continue;
                byte* row = Matrix._tensor.Pointer + r * Matrix._rowBytes;
                new Span<float>(sums, ManyTokens).Clear();
                for (int c = 0; c < columns; c += ChunkElements)
                {
                    int count = Math.Min(ChunkElements, columns - c);
                    Dequantizer.ToFloat(format, row + format.ByteCount(c), count, chunk);
                    for (int t = 0; t < Tokens; t++)
                        sums[t] += VectorMath.Dot(new ReadOnlySpan<float>(chunk, count), new ReadOnlySpan<float>(X + (long)t * columns + c, count));
                }
                for (int t = 0; t < Tokens; t++) Output[(long)t * rows + r] = sums[t];
            }
        }

        private readonly bool Halves(int r)
        {
            for (int t = 0; t < Tokens; t++)
            {
                if (!HalfRow.Dot(Matrix._tensor.Format, (ushort*)(Matrix._tensor.Pointer + r * Matrix._rowBytes), Matrix.Columns, X + (long)t * Matrix.Columns, out Output[(long)t * Matrix.Rows + r])) return false;
            }
            return true;
        }
    }
}
