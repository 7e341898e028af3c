// Low-rank repair of any method: LQER, L²QER and EoRA
// Zhang, Cheng, Constantinides, Zhao: LQER, Low-Rank Quantization Error Reconstruction for LLMs; arXiv 2402.02446, section 3;
// code: ChengZhang-98/lqer (approximate/lqer_svd.py, lqer_act.py).
// Liu, Yang, Wang, Fung, Yin, Sakr, Muralidharan, Cheng, Kautz, Wang, Molchanov, Chen: EoRA, Fine-tuning-free Compensation for
// Compressed LLM with Eigenspace Low-Rank Approximation; arXiv 2410.21271, section 3.
//
// Problem   what a method leaves over, E = W − Ŵ, is given back by a product of two thin matrices, as near as rank k gets:
//             min over L [out, k], R [k, in] of ‖(E − L · R) · S‖²
//             LQER    S = I                          (svd)
//             L²QER   S = diag(a / √(max a · min a)), a_j the mean of |x_j|   (activation)
//             EoRA    S Sᵀ = XᵀX, by eigenvectors of XᵀX                        (eigen)
// Symbols   paper                here                meaning
//           E_q, ΔW              Error               E
//           A_k, B_k             LowRankCodes        L and R
//           S; Q'                Multiply            S, by S Sᵀ alone
// Solution  by Eckart and Young it is E S cut to its k largest singular values, times S⁻¹. With U_k the eigenvectors of
//           E S Sᵀ Eᵀ with the largest eigenvalues this is U_k U_kᵀ E, so S itself and its inverse are not needed: L = U_k,
//           R = U_kᵀ E. For EoRA this is the least error of the output that rank k allows.
// Bits      those of the method, and 16 · k · (1/in + 1/out).
// Cost      16 products of E with k + 8 vectors, and of S Sᵀ for EoRA.
// Departs   - factors are in half precision; LQER has 8-bit ones.
//           - eigenvectors by subspace iteration (LeadingDirections.cs), where the repositories compute whole decompositions.

using System;
using System.Collections.Immutable;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>What a low-rank repair comes near to.</summary>
public enum RepairMetric
{
    /// <summary>The weight itself (LQER).</summary>
    Svd,
    /// <summary>The weight with columns scaled by the mean size of their inputs (L²QER).</summary>
    Activation,
    /// <summary>The output (EoRA).</summary>
    Eigen,
}

/// <summary>A method and the repair of what it left over.</summary>
public sealed record LowRankRepairOptions : MethodOptions
{
    private const int UsualRank = 32;

    /// <summary>The method that is repaired.</summary>
    public required MethodOptions Base { get; init; }

    /// <summary>What to come near to.</summary>
    public RepairMetric Metric { get; init; } = RepairMetric.Eigen;

    /// <summary>k; at most the smaller side of the weight is used.</summary>
    public int Rank { get; init; } = UsualRank;

    /// <inheritdoc/>
    public override bool NeedsHessian => Base.NeedsHessian || Metric != RepairMetric.Svd;

    /// <inheritdoc/>
    public override bool NeedsFloatInputs => Base.NeedsFloatInputs;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        (Base with { ScalePrecision = ScalePrecision }).EstimateBitsPerWeight(columns, codedPositions) + 32.0 * Rank / columns; // as if it were square

    /// <summary>The method repaired as <c>--repair</c> and <c>--repair-rank</c> say, or as it is where neither is given.</summary>
    internal static MethodOptions Read(MethodSettings settings, MethodOptions method)
    {
        RepairMetric? metric = settings.Choice<RepairMetric?>("repair", null, ("svd", RepairMetric.Svd), ("activation", RepairMetric.Activation), ("eigen", RepairMetric.Eigen));
        int? rank = settings.Integer("repair-rank");
        return metric is null && rank is null ? method
            : new LowRankRepairOptions { Base = method, Metric = metric ?? RepairMetric.Eigen, Rank = rank ?? UsualRank };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Base.Validate();
        Require(Rank > 0, "--repair-rank", Rank, "a number above 0");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        LowRankRepair.Repair(layer, (Base with { ScalePrecision = ScalePrecision }).Quantize(layer, pool, cancellation), this, pool, cancellation);
}

/// <summary>Low-rank repair.</summary>
public static unsafe class LowRankRepair
{
    /// <summary>Adds a product of thin matrices to what a method gave.</summary>
    internal static QuantizedMatrix Repair(LinearLayer layer, QuantizedMatrix quantized, LowRankRepairOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures, rank = Math.Min(options.Rank, Math.Min(rows, columns));
        ReadOnlySpan<float> weight = layer.Weight.Span;
        var error = new float[weight.Length];
        for (int i = 0; i < error.Length; i++) error[i] = weight[i] - quantized.Dequantized[i];
        Hessian? hessian = options.Metric == RepairMetric.Svd ? null : layer.RequireHessian("with --repair " + (options.Metric == RepairMetric.Eigen ? "eigen" : "activation"));
        double[] scales = options.Metric == RepairMetric.Activation ? Scales(hessian!) : [];
        for (int i = 0; i < error.Length && hessian is not null; i++)
            if (hessian.IsDead(i % columns)) error[i] = 0; // S is zero there

        using var between = new NativeBuffer(2L * Math.Min(rows, rank + LeadingDirections.Spare) * columns * sizeof(float));
        float[] directions = LeadingDirections.Find(rows, rank, Multiply, cancellation);
        var codes = new LowRankCodes(rows, columns, rank);
        using var right = new NativeBuffer((long)rank * columns * sizeof(float));
        fixed (float* u = directions, e = error) Gemm.MultiplyAdd(pool, 1, u, rows, e, columns, right.Floats, columns, rank, columns, rows);
        Store(directions, right.Floats, codes);

        ImmutableArray<CompositeTerm> terms = quantized.Codes is CompositeCodes sum ? sum.Terms : [new CompositeTerm(new WholeInput(), quantized.Codes)];
        var repaired = new CompositeCodes(rows, columns, terms.Add(new CompositeTerm(new WholeInput(), codes)));
        var work = new AddWork { Quantized = quantized.Dequantized, Codes = codes, Dequantized = new float[error.Length] };
        pool.Run(ref work, rows, 16);
        return quantized with
        {
            Codes = repaired,
            Dequantized = work.Dequantized,
            NominalBitsPerWeight = quantized.NominalBitsPerWeight + 16.0 * rank * (rows + columns) / error.Length,
        };

        // v → v E S Sᵀ Eᵀ for some rows v.
        void Multiply(float[] vectors, int count)
        {
            float* left = between.Floats, other = between.Floats + (long)count * columns;
            new Span<float>(left, count * columns).Clear();
            fixed (float* v = vectors, e = error)
            {
                Gemm.MultiplyAdd(pool, 1, v, rows, e, columns, left, columns, count, columns, rows);
                if (options.Metric == RepairMetric.Eigen)
                {
                    Gemm.MultiplyTransposed(pool, left, columns, hessian!.Values, columns, other, columns, count, columns, columns);
                    left = other;
                }
                if (options.Metric == RepairMetric.Activation)
                {
                    for (int i = 0; i < count * columns; i++) left[i] *= (float)(scales[i % columns] * scales[i % columns]);
                }
                Gemm.MultiplyTransposed(pool, left, columns, e, columns, v, rows, count, rows, columns);
            }
        }
    }

    private static double[] Scales(Hessian hessian)
    {
        var scales = new double[hessian.Features];
        double largest = 0, smallest = double.PositiveInfinity;
        for (int j = 0; j < scales.Length; j++)
        {
            scales[j] = hessian.MeanAbsolute(j);
            largest = Math.Max(largest, scales[j]);
            if (scales[j] > 0) smallest = Math.Min(smallest, scales[j]); // dead inputs count nothing
        }
        double centre = largest == 0 ? 1 : Math.Sqrt(largest) * Math.Sqrt(smallest);
        return Array.ConvertAll(scales, scale => scale / centre);
    }

    // In half precision; a power of two for each component makes the factors about equally large, which keeps both normal numbers.
    private static void Store(float[] directions, float* right, LowRankCodes codes)
    {
        for (int k = 0; k < codes.Rank; k++)
        {
            float u = Vectors.Largest(directions.AsSpan(k * codes.Rows, codes.Rows)), v = Vectors.Largest(new(right + (long)k * codes.Columns, codes.Columns));
            float balance = u == 0 || v == 0 ? 1 : MathF.Pow(2, MathF.Round(0.5f * MathF.Log2(v / u)));
            for (int r = 0; r < codes.Rows; r++) codes.Left[r * codes.Rank + k] = (float)(Half)(directions[k * codes.Rows + r] * balance);
            for (int c = 0; c < codes.Columns; c++) codes.Right[k * codes.Columns + c] = (float)(Half)(right[(long)k * codes.Columns + c] / balance);
        }
    }

    private struct AddWork : IParallelWork
    {
        public float[] Quantized, Dequantized;
        public LowRankCodes Codes;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int c = 0; c < Codes.Columns; c++) Dequantized[r * Codes.Columns + c] = Quantized[r * Codes.Columns + c] + Codes.Dequantize(r, c);
        }
    }
}
