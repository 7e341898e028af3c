// LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models
// Li, Yu, Liang, He, Karampatziakis, Chen, Zhao; ICLR 2024, arXiv 2310.08659, algorithm 1; code: yxli2123/LoftQ.
//
// Problem   min over Q, A, B of ‖W − Q − B·A‖, Q on the grid of a quantizer: an adapter that begins with a product of zero begins
//           with all of the quantizer's error.
// Solution  alternately   Q ← quantize(W − B·A),   B·A ← the first r terms of the singular value decomposition of W − Q,
//           beginning with B·A = 0;  B = U √σ, A = √σ Vᵀ
// Symbols   paper: Q_t, A_t, B_t     here: AdapterStart's Quantized, Right, Left
// Cost      a round is a quantization and 16 products of W with r + 8 vectors.
// Departs   directions by subspace iteration (TruncatedDecomposition.cs).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Methods;

/// <summary>Quantizer and adapter fitted to the weight in turn, the quantizer first.</summary>
public static class LoftQ
{
    /// <summary>Quantizes a weight together with the start of its adapter.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="method">The quantizer.</param>
    /// <param name="rank">r.</param>
    /// <param name="rounds">Alternations, T of the paper; with 0 the product is zero.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops the work within a round.</param>
    public static AdapterStart Begin(LinearLayer layer, MethodOptions method, int rank, int rounds, WorkerPool pool, CancellationToken cancellation = default)
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
                TruncatedDecomposition.Subtract(pool, left, right, rest, rank, rows, columns);
                quantized = method.Quantize(new LinearLayer(layer.Name, rows, columns, rest, layer.Hessian), pool, cancellation);
            }
            for (int i = 0; i < rest.Length; i++) rest[i] = layer.Weight.Span[i] - quantized.Dequantized[i];
            TruncatedDecomposition.Find(pool, rest, rows, columns, rank, left, right, cancellation);
        }
        return new AdapterStart(quantized, left, right, rank);
    }
}
