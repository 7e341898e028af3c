using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>Packs products of two thin matrices; see docs/formats/composite.md.</summary>
public static class LowRankPacking
{
    /// <summary>[rows, rank].</summary>
    public const string Left = "l_left";

    /// <summary>[rank, columns].</summary>
    public const string Right = "l_right";

    /// <summary>All parts that a matrix has.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Left, Right];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <exception cref="LowbitException">Half precision does not hold an element exactly.</exception>
    public static ImmutableArray<PackedPart> Pack(LowRankCodes codes) =>
        [HalfPart.Of(Left, codes.Left, [codes.Rows, codes.Rank]), HalfPart.Of(Right, codes.Right, [codes.Rank, codes.Columns])];
}

/// <summary>A packed product of two thin matrices, which are multiplied one after the other with the activations as they are, in both modes.</summary>
public sealed unsafe class LowRankMatrix : WeightMatrix
{
    [ThreadStatic]
    private static NativeBuffer? t_left;

    [ThreadStatic]
    private static NativeBuffer? t_right;

    [ThreadStatic]
    private static ActivationCache? t_inner;

    private readonly DenseMatrix _left, _right;

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="rank">Inner dimension.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="LowRankPacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds a number that is not finite.</exception>
    public LowRankMatrix(string name, int rows, int columns, int rank, IReadOnlyDictionary<string, Tensor> parts) : base(rows, columns)
    {
        if (rank < 1 || rank > Math.Min(rows, columns))
            throw new LowbitException($"{name}: the rank is {rank}, expected 1 to {Math.Min(rows, columns)}; the file is damaged or written by another version.");
        _left = HalfMatrix.Load(name, LowRankPacking.Left, rows, rank, parts);
        _right = HalfMatrix.Load(name, LowRankPacking.Right, rank, columns, parts);
    }

    /// <summary>Inner dimension.</summary>
    public int Rank => _left.Columns;

    /// <summary>Turns the packed form back into plain arrays.</summary>
    public LowRankCodes Unpack()
    {
        LowRankCodes codes = new(Rows, Columns, Rank);
        fixed (float* left = codes.Left) _left.DequantizeRows(0, Rows, left);
        fixed (float* right = codes.Right) _right.DequantizeRows(0, Rank, right);
        return codes;
    }

    /// <inheritdoc/>
    public override string Format => $"rank {Rank}";

    /// <inheritdoc/>
    public override long Bytes => _left.Bytes + _right.Bytes;

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        float* left = (float*)Scratch.Ensure(ref t_left, (long)Rank * sizeof(float)), right = (float*)Scratch.Ensure(ref t_right, (long)Rank * Columns * sizeof(float));
        _right.DequantizeRows(0, Rank, right);
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            _left.DequantizeRows(r, 1, left);
            new Span<float>(destination, Columns).Clear();
            for (int k = 0; k < Rank; k++)
            {
                float* row = right + (long)k * Columns;
                for (int c = 0; c < Columns; c++) destination[c] += left[k] * row[c];
            }
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        Activations inner = (t_inner ??= new()).Like(activations, Rank);
        _right.Multiply(pool, activations, inner.Values);
        _left.Multiply(pool, inner, output);
    }
}

/// <summary>A matrix in half precision as one part of a packed one.</summary>
public static unsafe class HalfMatrix
{
    /// <summary>The part of a <see cref="PlainCodes"/>.</summary>
    public const string Values = "p_values";

    /// <summary>Takes and checks a part.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="suffix">Ending of the part's name.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="parts">The tensors by their endings.</param>
    /// <exception cref="LowbitException">The part is missing, has the wrong format or size, or holds a number that is not finite.</exception>
    public static DenseMatrix Load(string name, string suffix, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        List<object> owners = [];
        byte* values = new PartReader(name, parts, owners).Scales(suffix, ElementFormat.F16, (long)rows * columns);
        return new DenseMatrix(new Tensor($"{name}.{suffix}", ElementFormat.F16, [rows, columns], values, 2L * rows * columns, owners));
    }
}
