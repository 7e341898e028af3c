// LQ-LoRA: Low-rank Plus Quantized Matrix Decomposition for Efficient Language Model Finetuning
// Guo, Greengard, Xing, Kim; ICLR 2024, arXiv 2311.12023, sections 3.1 and 3.3, algorithm 1; code: HanGuo97/lq-lora.
//
// Problem   min over Q, L₁, L₂ of ‖√F ∘ (W − Q − L₁·L₂)‖, Q on the grid of a quantizer; F is the diagonal of the Fisher
//           information (FisherDiagonal.cs), or one everywhere
// Solution  alternately   L₁·L₂ ← the r terms nearest to W − Q,   Q ← quantize(W − L₁·L₂),   beginning with Q = 0, until the
//           error grows. A weighted decomposition has no closed form, so √F counts as a product of its row means and its column
//           means: with D_r and D_c the diagonal matrices of these, U σ Vᵀ ≈ D_r·(W − Q)·D_c and
//             L₁ = D_r⁻¹·U √σ,   L₂ = √σ Vᵀ·D_c⁻¹
// Symbols   paper: L₁, L₂, D_row, D_col     here: AdapterStart's Left and Right, SeparableWeights
// Against   LoftQ quantizes first and ends with the decomposition; this one decomposes first and ends with the quantizer.
// Beside    LqLoraBits.cs, the integer program that gives every matrix its own number of bits.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Methods;

/// <summary>How much the errors of a matrix count: element [i, j] as much as Rows[i] · Columns[j].</summary>
/// <param name="Rows">[out], above zero.</param>
/// <param name="Columns">[in], above zero.</param>
/// <param name="Scale">How much the matrix counts beside others.</param>
public sealed record SeparableWeights(float[] Rows, float[] Columns, double Scale = 1);

/// <summary>Adapter and quantizer fitted to the weight in turn, the adapter first.</summary>
public static class LqLora
{
    /// <summary>Splits a weight into a quantized part and the start of an adapter.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="method">The quantizer.</param>
    /// <param name="rank">r.</param>
    /// <param name="rounds">Most alternations, at least 1.</param>
    /// <param name="weights">D_r and D_c; null where all errors count alike.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops the work within a round.</param>
    public static AdapterStart Begin(LinearLayer layer, MethodOptions method, int rank, int rounds, SeparableWeights? weights, WorkerPool pool, CancellationToken cancellation = default) =>
        Fit(layer, method, rank, rounds, weights, pool, cancellation).Start;

    /// <summary>The same, and the squared error that is left, each element by how much it counts.</summary>
    internal static (AdapterStart Start, double Error) Fit(LinearLayer layer, MethodOptions method, int rank, int rounds, SeparableWeights? weights, WorkerPool pool, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rounds);
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        rank = Math.Min(rank, Math.Min(rows, columns));
        float[] rest = layer.Weight.ToArray();
        AdapterStart? best = null;
        double least = double.PositiveInfinity;
        for (int round = 0; round < rounds; round++)
        {
            float[] left = new float[(long)rows * rank], right = new float[(long)rank * columns];
            Weigh(weights, rest, columns);
            TruncatedDecomposition.Find(pool, rest, rows, columns, rank, left, right, cancellation);
            for (int i = 0; i < left.Length && weights is not null; i++) left[i] /= weights.Rows[i / rank];
            for (int i = 0; i < right.Length && weights is not null; i++) right[i] /= weights.Columns[i % columns];

            layer.Weight.Span.CopyTo(rest);
            TruncatedDecomposition.Subtract(pool, left, right, rest, rank, rows, columns);
            QuantizedMatrix quantized = method.Quantize(new LinearLayer(layer.Name, rows, columns, rest, layer.Hessian), pool, cancellation);
            double error = 0;
            for (int i = 0; i < rest.Length; i++)
            {
                double weight = weights is null ? 1 : weights.Scale * weights.Rows[i / columns] * weights.Columns[i % columns];
                double difference = weight * (rest[i] - quantized.Dequantized[i]);
                error += difference * difference;
            }
            if (!(error < least)) break; // NaN is no less either
            least = error;
            best = new AdapterStart(quantized, left, right, rank);
            for (int i = 0; i < rest.Length; i++) rest[i] = layer.Weight.Span[i] - quantized.Dequantized[i];
        }
        return best is null ? throw new LowbitException($"{layer.Name}: the error of the quantized weight is no number; look for NaN in the model.") : (best, least);
    }

    // matrix ← D_r · matrix · D_c
    private static void Weigh(SeparableWeights? weights, float[] matrix, int columns)
    {
        for (int i = 0; i < matrix.Length && weights is not null; i++) matrix[i] *= weights.Rows[i / columns] * weights.Columns[i % columns];
    }
}
