// LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models
// Li, Yu, Liang, He, Karampatziakis, Chen, Zhao; ICLR 2024, arXiv 2310.08659, algorithm 1; code: yxli2123/LoftQ.
//
// Problem   min over Q, A, B of ‖W − Q − B·A‖, Q on the grid of a quantizer: an adapter that begins with a product of zero begins
//           with all of the quantizer's error.
// Solution  alternately   Q ← quantize(W − B·A),   B·A ← the first r terms of the singular value decomposition of W − Q,
//           beginning with B·A = 0;  B = U √σ, A = √σ Vᵀ
// Symbols   paper: Q_t, A_t, B_t     here: Quantized, Left · Right
// Cost      a round is a quantization and 16 products of W with r + 8 vectors.
// Departs   directions by subspace iteration (LeadingDirections.cs).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.LinearAlgebra;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Methods;

/// <summary>A quantized weight and the product of low rank that makes up for most of its error.</summary>
/// <param name="Quantized">Q.</param>
/// <param name="Left">B, [out, rank].</param>
/// <param name="Right">A, [rank, in].</param>
/// <param name="Rank">r, at most the smaller side of the weight.</param>
public sealed unsafe record LoftQ(QuantizedMatrix Quantized, float[] Left, float[] Right, int Rank)
{
    /// <summary>Quantizes a weight together with the start of its adapter.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="method">The quantizer.</param>
    /// <param name="rank">r.</param>
    /// <param name="rounds">Alternations, T of the paper; with 0 the product is zero.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops the work within a round.</param>
    public static LoftQ Begin(LinearLayer layer, MethodOptions method, int rank, int rounds, WorkerPool pool, CancellationToken cancellation = default)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        rank = Math.Min(rank, Math.Min(rows, columns));
        float[] left = new float[(long)rows * rank], right = new float[(long)rank * columns], rest = layer.Weight.ToArray();
        QuantizedMatrix quantized = method.Quantize(layer, pool, cancellation);
        for (int round = 0; round < rounds; round++)
        {
            if (round > 0)
            {
                layer.Weight.Span.CopyTo(rest);
                Add(pool, -1, left, right, rest, rank, rows, columns);
                quantized = method.Quantize(new LinearLayer(layer.Name, rows, columns, rest, layer.Hessian), pool, cancellation);
            }
            for (int i = 0; i < rest.Length; i++) rest[i] = layer.Weight.Span[i] - quantized.Dequantized[i];
            Decompose(pool, rest, rows, columns, rank, left, right, cancellation);
        }
        return new LoftQ(quantized, left, right, rank);
    }

    // rest += factor · left · right
    private static void Add(WorkerPool pool, float factor, float[] left, float[] right, float[] rest, int rank, int rows, int columns)
    {
        fixed (float* l = left, r = right, c = rest) Gemm.MultiplyAdd(pool, factor, l, rank, r, columns, c, columns, rows, columns, rank);
    }

    // With U the first left directions of E, Uᵀ·E is √σ times the wanted right factor, and |row k of Uᵀ·E| = σ_k.
    private static void Decompose(WorkerPool pool, float[] error, int rows, int columns, int rank, float[] left, float[] right, CancellationToken cancellation)
    {
        using NativeBuffer between = new(Math.Min(rows, rank + LeadingDirections.Spare) * (long)columns * sizeof(float));
        float[] directions = LeadingDirections.Find(rows, rank, Multiply, cancellation);
        Array.Clear(right);
        fixed (float* u = directions, e = error, r = right) Gemm.MultiplyAdd(pool, 1, u, rows, e, columns, r, columns, rank, columns, rows);
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
            fixed (float* v = vectors, e = error)
            {
                Gemm.MultiplyAdd(pool, 1, v, rows, e, columns, between.Floats, columns, count, columns, rows);
                Gemm.MultiplyTransposed(pool, between.Floats, columns, e, columns, v, rows, count, rows, columns);
            }
        }
    }
}
