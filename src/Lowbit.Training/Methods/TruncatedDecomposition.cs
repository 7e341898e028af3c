using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Training.Methods;

/// <summary>The first terms of a singular value decomposition E = U σ Vᵀ, as factors U √σ and √σ Vᵀ of equal size.</summary>
internal static unsafe class TruncatedDecomposition
{
    /// <summary>left · right ← the nearest matrix of that rank.</summary>
    /// <remarks>With U the first left directions of E, Uᵀ·E is √σ times the wanted right factor, and |row k of Uᵀ·E| = σ_k.</remarks>
    /// <param name="pool">Threads.</param>
    /// <param name="matrix">E, [rows, columns].</param>
    /// <param name="rows">Rows of E.</param>
    /// <param name="columns">Columns of E.</param>
    /// <param name="rank">Terms, at most the smaller side.</param>
    /// <param name="left">[rows, rank], overwritten.</param>
    /// <param name="right">[rank, columns], overwritten.</param>
    /// <param name="cancellation">Stops between two iterations.</param>
    public static void Find(WorkerPool pool, float[] matrix, int rows, int columns, int rank, float[] left, float[] right, CancellationToken cancellation)
    {
        using NativeBuffer between = new(Math.Min(rows, rank + LeadingDirections.Spare) * (long)columns * sizeof(float));
        float[] directions = LeadingDirections.Find(rows, rank, Multiply, cancellation);
        Array.Clear(right);
        fixed (float* u = directions, e = matrix, r = right) Gemm.MultiplyAdd(pool, 1, u, rows, e, columns, r, columns, rank, columns, rows);
        for (int k = 0; k < rank; k++)
        {
            Span<float> row = right.AsSpan(k * columns, columns);
            float root = MathF.Sqrt(MathF.Sqrt(Elementwise.Dot(row, row)));
            if (root > 0) Elementwise.Scale(1 / root, row);
            for (int i = 0; i < rows; i++) left[i * rank + k] = directions[k * rows + i] * root;
        }

        void Multiply(float[] vectors, int count)
        {
            new Span<float>(between.Floats, count * columns).Clear();
            fixed (float* v = vectors, e = matrix)
            {
                Gemm.MultiplyAdd(pool, 1, v, rows, e, columns, between.Floats, columns, count, columns, rows);
                Gemm.MultiplyTransposed(pool, between.Floats, columns, e, columns, v, rows, count, rows, columns);
            }
        }
    }

    /// <summary>rest −= left · right.</summary>
    public static void Subtract(WorkerPool pool, float[] left, float[] right, float[] rest, int rank, int rows, int columns)
    {
        fixed (float* l = left, r = right, c = rest) Gemm.MultiplyAdd(pool, -1, l, rank, r, columns, c, columns, rows, columns, rank);
    }
}
