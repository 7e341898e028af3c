// SqueezeLLM: Dense-and-Sparse Quantization
// Kim, Hooper, Gholami, Dong, Li, Shen, Mahoney, Keutzer; arXiv 2306.07629, section 4; code: SqueezeAILab/SqueezeLLM,
// quantization (nuq.py, generate_outlier_config.py).
//
// Problem   every row has 2^b levels of its own, near the weights that matter; the few largest and most sensitive weights are
//           set apart:
//             min over levels of Σ_j F_jj · (w_j − level)²,  W = D + S
// Symbols   paper   here                    meaning
//           F       Hessian.Diagonal        sensitivity of a weight; the paper takes the Fisher information
//           Q(w)    OptimalLevels           weighted k-means
//           D, S    CodebookCodes, SparseCodes
//           T_max   Share                   8/9 of it are the weights with the largest |w|, 1/9 those with the largest F_jj w²
// Bits      b, and 48 for a weight in S (16 for the value, 32 for its column, as the paper counts).
// Cost      2^b · in · log in · out.
// Departs   from the paper and repository:
//           - F is diag(H), the same for all rows, where the paper has squared gradients of the model's loss for each weight;
//             so sensitive weights are found by F_jj w², since F_jj alone would mark whole columns.
//           - the best levels are found exactly (OptimalLevels.cs), where the repository runs Lloyd's iteration from k-means++.
//           - the large weights are a share of the matrix; there a multiple of the distance between quartiles, about as many.
//           - S holds what the nearest level leaves of its weights; there D is zero in these places.

using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of SqueezeLLM; the defaults are the paper's.</summary>
public sealed record SqueezeLlmOptions : MethodOptions
{
    /// <summary>Bits of a code, 1 to 4.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Share of the weights that are set apart.</summary>
    public double Share { get; init; } = 0.0045;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Codebook(columns, Bits, -1, ScalePrecision, LevelForm.Table) + (Share > 0 ? 32 * Share + 32.0 / columns : 0);

    internal static SqueezeLlmOptions Read(MethodSettings settings)
    {
        var defaults = new SqueezeLlmOptions();
        return new SqueezeLlmOptions { Bits = settings.Integer("bits", defaults.Bits), Share = settings.Number("outliers", defaults.Share) };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 1 and <= 4, "--bits", Bits, "1 to 4");
        Require(Share is >= 0 and <= 1, "--outliers", Share, "a share of 0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        SqueezeLlm.Quantize(layer, this, pool, cancellation);
}

/// <summary>SqueezeLLM.</summary>
public static class SqueezeLlm
{
    private const double SensitiveShare = 1.0 / 9;

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, SqueezeLlmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        double[] sensitivities = Sensitivities(layer.RequireHessian("squeezellm"));
        bool[] apart = SetApart(layer.Weight.Span, sensitivities, options.Share);
        var codes = new CodebookCodes(rows, columns, options.Bits, columns);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var work = new RowWork { Layer = layer, Sensitivities = sensitivities, Apart = apart, Codes = codes, Residuals = new float[apart.Length], Rounding = rounding };
        pool.Run(ref work, rows, 4);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        SparseCodes sparse = SparseElements.Of(rows, columns, apart, work.Residuals);
        var dequantized = new float[apart.Length];
        codes.Dequantize(dequantized);
        for (int i = 0; i < dequantized.Length; i++) dequantized[i] += work.Residuals[i];
        double share = sparse.Values.Length / (double)dequantized.Length;
        return new QuantizedMatrix(SparseElements.Beside(codes, sparse), dequantized, options.Bits + 48 * share, options.ScalePrecision);
    }

    // diag(H); inputs that are all but dead count a little, so that their weights have a mean, too.
    private static double[] Sensitivities(Hessian hessian)
    {
        double[] diagonal = [.. Enumerable.Range(0, hessian.Features).Select(j => (double)hessian.Diagonal(j))];
        double least = 1e-9 * diagonal.Average();
        return Array.ConvertAll(diagonal, value => least == 0 ? 1 : Math.Max(value, least));
    }

    private static bool[] SetApart(ReadOnlySpan<float> weight, double[] sensitivities, double share)
    {
        var apart = new bool[weight.Length];
        int sensitive = (int)(share * SensitiveShare * apart.Length), all = (int)(share * apart.Length);
        if (all == 0) return apart;
        var scores = new float[apart.Length];
        for (int i = 0; i < scores.Length; i++) scores[i] = (float)(weight[i] * (double)weight[i] * sensitivities[i % sensitivities.Length]);
        Mark(sensitive);
        for (int i = 0; i < scores.Length; i++) scores[i] = apart[i] ? 0 : MathF.Abs(weight[i]);
        Mark(all - sensitive);
        return apart;

        void Mark(int count)
        {
            if (count == 0) return;
            float threshold = Saliency.Smallest(scores, scores.Length - count);
            for (int i = 0; i < scores.Length && count > 0; i++)
            {
                if (scores[i] <= threshold || apart[i]) continue;
                apart[i] = true;
                count--;
            }
            for (int i = 0; i < scores.Length && count > 0; i++)
            {
                if (scores[i] != threshold || apart[i] || threshold == 0) continue; // of equal ones the first
                apart[i] = true;
                count--;
            }
        }
    }

    private struct RowWork : IParallelWork
    {
        public LinearLayer Layer;
        public double[] Sensitivities;
        public bool[] Apart;
        public CodebookCodes Codes;
        public float[] Residuals; // [rows, columns], of the weights set apart
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            int columns = Codes.Columns, count = 1 << Codes.Bits;
            var fit = new OptimalLevels(columns, count);
            var values = new float[columns];
            var weights = new double[columns];
            for (int r = start; r < end; r++)
            {
                ReadOnlySpan<float> row = Layer.Weight.Span.Slice(r * columns, columns);
                int dense = 0;
                for (int j = 0; j < columns; j++)
                {
                    if (Apart[r * columns + j]) continue;
                    (values[dense], weights[dense]) = (row[j], Sensitivities[j]);
                    dense++;
                }
                Array.Sort(values, weights, 0, dense);
                Span<float> levels = Codes.Levels.AsSpan(r * count, count);
                fit.Fit(values.AsSpan(0, dense), weights.AsSpan(0, dense), levels);
                float size = Vectors.Largest(levels);
                foreach (ref float level in levels) level = Rounding.Mean(level, size);
                for (int j = 0; j < columns; j++)
                {
                    int i = r * columns + j;
                    byte code = Codebook.Nearest(levels, row[j]);
                    Codes.Codes[i] = code;
                    if (Apart[i]) Residuals[i] = HalfPrecision.Round(row[j] - levels[code], Layer.Name);
                }
            }
        }
    }
}
