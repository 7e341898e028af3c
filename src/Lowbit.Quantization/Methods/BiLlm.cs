// BiLLM: Pushing the Limit of Post-Training Quantization for LLMs
// Huang, Liu, Qin, Li, Zhang, Liu, Magno, Qi; arXiv 2402.04291, algorithms 1 and 2; code: Aaronhuang-778/BiLLM (bigptq.py,
// binary.py, utils/).
//
// Problem   all weights become one bit, those of a few salient columns two: in every block of columns and every row,
//             ŵ = m + α · sign(w − m),  m = mean w,  α = mean |w − m|   over the weights of one part,
//           for three parts: concentrated and sparse weights (scores below a break point, and from it on) and salient
//           columns, whose residual is binarized once more in the same way.
// Symbols   paper        here                  meaning
//           s            BlockSearch.Score     w, or w² / U_jj² with (H + λ)⁻¹ = UᵀU
//           N salient    BlockSearch           number of salient columns, those with the largest sums of |s|: 1 to 49, the
//                                              one that binarizes the scores (both sides twice) with the least squared error
//           p*           BlockSearch           break point: of 81 quantiles (10 to 90 %) of |s|, salient ones counted as
//                                              zeros, the one that binarizes the scores with the least squared error
//           B            BlockSize             columns of a block
//           E            BlockCompensation     (w − ŵ) / U_jj
// Order     block by block; within a block columns do not compensate each other, the columns behind it get its errors.
// Bits      paper: 2 r + (1 − r) with r the share of salient columns. Stored: two bits a weight, which name one of two
//           levels of either part or, in salient columns, one of four; one bit a column; eight levels a row and block.
// Cost      in³ · 2/3 for U, in² · out for the compensation, about 49 · 5 + 81 · 3 passes over the weights for the searches.
// Keeps     from the repository, where the paper differs: both searches binarize the scores, not the weights; the grid of
//           break points; up to 49 salient columns (paper: 30).
// Departs   from the repository: sign(0), there 0, is +1 where a part of a row would have more levels than its codes can
//           name; blocks with fewer than 50 columns have fewer candidates (there: an error); U in double precision
//           (InverseFactor.cs); in half precision it is the levels that are rounded, not α and m.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of BiLLM; the defaults are those of the repository's commands.</summary>
public sealed record BiLlmOptions : MethodOptions
{
    internal const int Bits = 2; // of a code

    /// <summary>What scores a weight: w itself or w² / U_jj².</summary>
    public SaliencyMetric Saliency { get; init; } = SaliencyMetric.Hessian;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns that share means and scales, and between two updates of the columns behind.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Codebook(columns, Bits, BlockSize, ScalePrecision, LevelForm.Table, classes: 2);

    internal static BiLlmOptions Read(MethodSettings settings)
    {
        var defaults = new BiLlmOptions();
        return new BiLlmOptions
        {
            Saliency = settings.Choice("saliency", defaults.Saliency, ("magnitude", SaliencyMetric.Magnitude), ("hessian", SaliencyMetric.Hessian)),
            Damping = settings.Number("damping", defaults.Damping),
            BlockSize = settings.Integer("block-size", defaults.BlockSize),
        };
    }

    /// <inheritdoc/>
    public override void Validate() => RequireCompensation(Damping, BlockSize);

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        BiLlm.Quantize(layer, this, pool, cancellation);
}

/// <summary>BiLLM.</summary>
public static unsafe class BiLlm
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, BiLlmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("billm");
        int rows = layer.OutFeatures, columns = layer.InFeatures, blockSize = Math.Min(options.BlockSize, columns);
        InverseFactor factor = hessian.Factor(pool, options.Damping, activationOrder: false, cancellation);
        var salient = new bool[columns];
        var codes = new CodebookCodes(rows, columns, BiLlmOptions.Bits, blockSize, salient);
        var rounding = new ScaleRounding(options.ScalePrecision);
        using var copy = new WorkingCopy(pool, layer.WeightOfLiveInputs(), rows, columns, order: null);
        using var scores = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        var quantizer = new BlockQuantizer(pool, copy.Stride, options.Saliency == SaliencyMetric.Hessian ? factor : null, scores.Floats, codes, salient, rounding);
        BlockCompensation.Run(pool, copy, factor, blockSize, quantizer, cancellation);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        var dequantized = new float[layer.Weight.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, 1 + salient.AsSpan().Count(true) / (double)columns, options.ScalePrecision);
    }

    private sealed class BlockQuantizer(
        WorkerPool pool, int stride, InverseFactor? factor, float* scores, CodebookCodes codes, bool[] salient, ScaleRounding rounding) : IBlockQuantizer
    {
        public void Quantize(int start, int width, float* weights, float* levels)
        {
            BlockSearch.Score(weights, width, stride, factor, start, scores);
            var search = new BlockSearch(scores, width, codes.Rows, stride);
            int[] ranked = search.RankColumns();
            int count = search.SalientColumns(pool, ranked);
            foreach (int column in ranked.AsSpan(0, count)) salient[start + column] = true;
            var work = new RowWork
            {
                Weights = weights,
                Scores = scores,
                Levels = levels,
                Stride = stride,
                Start = start,
                Width = width,
                BreakPoint = search.BreakPoint(pool, ranked.AsSpan(count).ToArray()),
                Codes = codes,
                Salient = salient,
                Rounding = rounding,
            };
            pool.Run(ref work, codes.Rows, 16);
        }
    }

    // Binarizes the rows of a block.
    private struct RowWork : IParallelWork
    {
        public float* Weights, Scores, Levels; // [width, stride]
        public int Stride, Start, Width;
        public float BreakPoint;
        public CodebookCodes Codes;
        public bool[] Salient;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            Span<float> row = new float[Width], sums = new float[Width];
            Span<Part> parts = new Part[Width];
            int books = Codes.Classes << BiLlmOptions.Bits, book = Start / Codes.GroupSize * books;
            for (int r = start; r < end; r++)
            {
                Span<byte> codes = Codes.Codes.AsSpan(r * Codes.Columns + Start, Width);
                Span<float> levels = Codes.Levels.AsSpan(r * Codes.Groups * books + book, books);
                for (int j = 0; j < Width; j++)
                {
                    long i = (long)j * Stride + r;
                    row[j] = Weights[i];
                    parts[j] = Salient[Start + j] ? Part.Salient : MathF.Abs(Scores[i]) >= BreakPoint ? Part.Sparse : Part.Concentrated;
                }
                Binarize(row, parts, Part.Concentrated, 1, sums, codes, 0, levels[..2]);
                Binarize(row, parts, Part.Sparse, 1, sums, codes, 2, levels[2..4]);
                Binarize(row, parts, Part.Salient, 2, sums, codes, 0, levels[4..]);
                Codebook.Round(levels[..4], Rounding);
                Codebook.Round(levels[4..], Rounding);
                for (int j = 0; j < Width; j++) Levels[(long)j * Stride + r] = Codes.Dequantize(r, Start + j);
            }
        }

        // The levels of a part and the codes of its weights. A weight on its mean has the sign 0 if there are levels enough: weights
        // on a coarse grid in two to four salient columns often lie there.
        private static void Binarize(
            ReadOnlySpan<float> x, ReadOnlySpan<Part> parts, Part part, int orders, Span<float> sums, Span<byte> codes, int firstCode, Span<float> levels)
        {
            for (int signOfZero = 0; ; signOfZero++)
            {
                sums.Clear();
                for (int order = 0; order < orders; order++) Add(x, parts, part, signOfZero, sums);
                int count = 0;
                for (int j = 0; j < x.Length && count <= levels.Length; j++)
                {
                    if (parts[j] != part || levels[..count].Contains(sums[j])) continue;
                    if (count < levels.Length) levels[count] = sums[j];
                    count++;
                }
                if (count > levels.Length) continue;
                levels[..count].Sort();
                for (int j = 0; j < x.Length; j++)
                    if (parts[j] == part) codes[j] = (byte)(firstCode + levels[..count].IndexOf(sums[j]));
                return;
            }
        }

        // Adds m + α · sign(r − m) of the residual r = x − sums, m = mean r and α = mean |r − m| over the part.
        private static void Add(ReadOnlySpan<float> x, ReadOnlySpan<Part> parts, Part part, int signOfZero, Span<float> sums)
        {
            double sum = 0, deviation = 0;
            int count = 0;
            for (int j = 0; j < x.Length; j++)
            {
                if (parts[j] != part) continue;
                sum += x[j] - sums[j];
                count++;
            }
            float mean = (float)(sum / count);
            for (int j = 0; j < x.Length; j++)
                if (parts[j] == part) deviation += MathF.Abs(x[j] - sums[j] - mean);
            float scale = (float)(deviation / count);
            for (int j = 0; j < x.Length; j++)
            {
                if (parts[j] != part) continue;
                float distance = x[j] - sums[j] - mean;
                sums[j] += mean + scale * (distance > 0 ? 1 : distance < 0 ? -1 : signOfZero);
            }
        }
    }

    // The part of a block that a weight belongs to.
    private enum Part
    {
        /// <summary>Of a column that is not salient, with a score below the break point.</summary>
        Concentrated,
        /// <summary>Of a column that is not salient, with a score from the break point on.</summary>
        Sparse,
        /// <summary>Of a salient column.</summary>
        Salient,
    }
}
