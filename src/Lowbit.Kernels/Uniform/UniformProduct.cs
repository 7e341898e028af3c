using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>
/// Products of rows with one token of 8-bit activations. For a block b of 64 activations with scale s, codes x and their
/// sum, and the codes q of a row, whose group has one scale and zero in the block:
///   y += s · (scale · (Σ q x − zero · Σ x)).
/// Both sums are integers below 2^24, so they are exact as floats; each operation on floats is rounded by itself, so that
/// all kernels give the same bits.
/// </summary>
internal unsafe interface IUniformProduct
{
    /// <summary>Rows of one call, for all kernels.</summary>
    const int Rows = 8;

    /// <summary>Multiplies <see cref="Rows"/> rows; rows beyond the last repeat it and their results are to be thrown away.</summary>
    /// <param name="rows">The matrix; its groups hold whole blocks.</param>
    /// <param name="firstRow">First row.</param>
    /// <param name="x">[blocks · 64] activations.</param>
    /// <param name="scales">[blocks] scales of the activations.</param>
    /// <param name="sums">[blocks] sums of the activations.</param>
    /// <param name="results">[Rows].</param>
    static abstract void Run(in UniformRows rows, int firstRow, sbyte* x, float* scales, int* sums, float* results);
}

/// <summary>The oracle: weight after weight.</summary>
internal readonly unsafe struct UniformProductScalar : IUniformProduct
{
    public static void Run(in UniformRows rows, int firstRow, sbyte* x, float* scales, int* sums, float* results)
    {
        byte* codes = stackalloc byte[UniformLayout.BlockLength];
        for (int i = 0; i < IUniformProduct.Rows; i++)
        {
            int row = Math.Min(firstRow + i, rows.Rows - 1);
            float y = 0;
            for (int b = 0; b < rows.Blocks; b++)
            {
                CodeBlock.UnpackScalar(rows.Block(row, b), rows.Bits, codes);
                int dot = 0;
                for (int c = 0; c < UniformLayout.BlockLength; c++) dot += codes[c] * x[UniformLayout.BlockLength * b + c];
                long parameter = (long)row * rows.Groups + (rows.Groups == 1 ? 0 : UniformLayout.BlockLength * b / rows.GroupSize);
                y += scales[b] * (rows.Scale(parameter) * (dot - rows.Zero(parameter) * sums[b]));
            }
            results[i] = y;
        }
    }
}

/// <summary>What the vector forms do after the integer sums of a block: eight rows, one a lane.</summary>
internal unsafe ref struct UniformSums(in UniformRows rows, int firstRow)
{
    private readonly ref readonly UniformRows _rows = ref rows;
    private Vector256<float> _scale, _zero, _results;
    private int _groupEnd; // in blocks

    /// <summary>y of the rows so far.</summary>
    public readonly Vector256<float> Results => _results;

    /// <summary>Adds block <paramref name="b"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(int b, Vector256<int> dots, int sum, float scale)
    {
        if (b >= _groupEnd) NextGroup(b);
        _results += Vector256.Create(scale) * (_scale * (Vector256.ConvertToSingle(dots) - _zero * Vector256.Create((float)sum)));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void NextGroup(int b)
    {
        int group = _rows.Groups == 1 ? 0 : UniformLayout.BlockLength * b / _rows.GroupSize;
        _groupEnd = _rows.Groups == 1 ? _rows.Blocks : (group + 1) * (_rows.GroupSize / UniformLayout.BlockLength);
        _scale = _rows.ScalesOfRows(firstRow, group);
        _zero = _rows.ZerosOfRows(firstRow, group);
    }
}
