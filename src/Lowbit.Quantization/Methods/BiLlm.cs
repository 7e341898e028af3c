// BiLLM: Pushing the Limit of Post-Training Quantization for LLMs
// Huang, Liu, Qin, Li, Zhang, Liu, Magno, Qi; arXiv 2402.04291, algorithms 1 and 2; code: Aaronhuang-778/BiLLM (bigptq.py,
// binary.py, utils/).
//
// Problem   all weights become one bit, those of a few salient columns two: in every block of columns and every row,
//             ŵ = m + α · sign(w − m),  m = mean w,  α = mean |w − m|   over the weights of one part,
//           for three parts: concentrated and sparse weights (scores below a break point, and from it on) and salient
//           columns, whose residual is binarized once more in the same way.
// Symbols   paper        here                  meaning
//           s            BlockSearch.Scores    w, or w² / U_jj² with (H + λ)⁻¹ = UᵀU
//           N salient    BlockSearch           number of salient columns, those with the largest sums of |s|: 1 to 49, the
//                                              one that binarizes the scores (both sides twice) with the least squared error
//           p*           BlockSearch           break point: of 81 quantiles (10 to 90 %) of |s|, salient ones counted as
//                                              zeros, the one that binarizes the scores with the least squared error
//           B            BlockSize             columns of a block
//           E            Errors                (w − ŵ) / U_jj
// Order     block by block; within a block columns do not compensate each other, the columns behind it get its errors.
// Bits      paper: 2 r + (1 − r) with r the share of salient columns. Also stored: one bit a weight for the part, one a
//           column, and eight numbers a row and block.
// Cost      in³ · 2/3 for U, in² · out for the compensation, about 49 · 5 + 81 · 3 passes over the weights for the searches.
// Keeps     from the repository, where the paper differs: both searches binarize the scores, not the weights; the grid of
//           break points; up to 49 salient columns (paper: 30).
// Departs   from the repository: sign(0) = +1, since one bit has no third value; blocks with fewer than 50 columns have fewer
//           candidates (there: an error); U in double precision (InverseFactor.cs).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of BiLLM; the defaults are those of the repository's commands.</summary>
public sealed record BiLlmOptions : MethodOptions
{
    private const double UsualSalientShare = 0.05;

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
        2 + UsualSalientShare + 2.0 * BiLlmCodes.Levels * ScaleBits / Math.Min(BlockSize, columns);

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
    protected override void Validate() => RequireCompensation(Damping, BlockSize);

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
        var codes = new BiLlmCodes(rows, columns, blockSize);
        var rounding = new ScaleRounding(options.ScalePrecision);
        using var copy = new WorkingCopy(pool, layer.WeightOfLiveInputs(), rows, columns, order: null);
        using var errors = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        using var scores = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        for (int start = 0; start < columns; start += blockSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int width = Math.Min(blockSize, columns - start), end = start + width;
            float* weights = copy.Weights + (long)start * copy.Stride;
            Score(weights, width, copy.Stride, options.Saliency == SaliencyMetric.Hessian ? factor : null, start, scores.Floats);
            var search = new BlockSearch(scores.Floats, width, rows, copy.Stride);
            int[] ranked = search.RankColumns();
            int salient = search.SalientColumns(pool, ranked);
            float breakPoint = search.BreakPoint(pool, ranked.AsSpan(salient).ToArray());
            foreach (int column in ranked.AsSpan(0, salient)) codes.SalientColumns[start + column] = true;

            var work = new BlockWork
            {
                Weights = weights,
                Scores = scores.Floats,
                Errors = errors.Floats,
                Stride = copy.Stride,
                Start = start,
                Width = width,
                BreakPoint = breakPoint,
                Factor = factor,
                Codes = codes,
                Rounding = rounding,
            };
            pool.Run(ref work, rows, 16);
            Gemm.MultiplyAdd(
                pool, -1, factor.Transposed + (long)end * columns + start, columns, errors.Floats, copy.Stride,
                copy.Weights + (long)end * copy.Stride, copy.Stride, columns - end, copy.Stride, width);
        }
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        var dequantized = new float[layer.Weight.Length];
        codes.Dequantize(dequantized);
        double share = codes.SalientColumns.AsSpan().Count(true) / (double)columns;
        return new QuantizedMatrix(codes, dequantized, 1 + share, options.ScalePrecision);
    }

    private static void Score(float* weights, int width, int stride, InverseFactor? factor, int start, float* scores)
    {
        for (int j = 0; j < width; j++)
        {
            float u = factor is null ? 0 : factor[start + j, start + j];
            for (int r = 0; r < stride; r++)
            {
                float w = weights[(long)j * stride + r];
                scores[(long)j * stride + r] = factor is null ? w : w * w / (u * u);
            }
        }
    }

    // Binarizes the rows of a block and leaves their errors.
    private struct BlockWork : IParallelWork
    {
        public float* Weights, Scores, Errors; // [width, stride]
        public int Stride, Start, Width;
        public float BreakPoint;
        public InverseFactor Factor;
        public BiLlmCodes Codes;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            Span<float> row = new float[Width], residual = new float[Width];
            Span<bool> member = new bool[Width];
            for (int r = start; r < end; r++)
            {
                long first = (long)r * Codes.Columns + Start, levels = ((long)r * Codes.Blocks + Start / Codes.BlockSize) * BiLlmCodes.Levels;
                for (int j = 0; j < Width; j++)
                {
                    row[j] = Weights[(long)j * Stride + r];
                    Codes.Sparse[first + j] = !Codes.SalientColumns[Start + j] && MathF.Abs(Scores[(long)j * Stride + r]) >= BreakPoint;
                }
                float size = 0;
                for (int part = (int)BiLlmPart.Concentrated; part <= (int)BiLlmPart.Salient; part++)
                {
                    for (int j = 0; j < Width; j++) member[j] = (int)Codes.PartOf(r, Start + j) == part;
                    size = Binarize(row, member, levels + part, Codes.Signs.AsSpan((int)first, Width), residual, 0);
                }
                // The members, residuals and size of the last part, the salient one.
                Binarize(residual, member, levels + BiLlmCodes.Residual, Codes.ResidualSigns.AsSpan((int)first, Width), residual, size);
                for (int j = 0; j < Width; j++)
                    Errors[(long)j * Stride + r] = (row[j] - Codes.Dequantize(r, Start + j)) / Factor[Start + j, Start + j];
            }
        }

        // m = mean x, α = mean |x − m|, both over the members. Either may nearly vanish beside the other or beside the size of
        // the weights, against which its rounding counts. Returns that size.
        private readonly float Binarize(ReadOnlySpan<float> x, ReadOnlySpan<bool> member, long level, Span<bool> signs, Span<float> residual, float size)
        {
            double sum = 0, deviation = 0;
            int count = 0;
            for (int j = 0; j < x.Length; j++)
            {
                if (!member[j]) continue;
                sum += x[j];
                count++;
            }
            if (count == 0) return size;
            float mean = (float)(sum / count);
            for (int j = 0; j < x.Length; j++)
                if (member[j]) deviation += MathF.Abs(x[j] - mean);
            float scale = (float)(deviation / count);
            size = MathF.Max(size, MathF.Abs(mean) + scale);
            scale = Rounding.Mean(scale, size);
            mean = Rounding.Mean(mean, size);
            Codes.Scales[level] = scale;
            Codes.Means[level] = mean;
            for (int j = 0; j < x.Length; j++)
            {
                if (!member[j]) continue;
                signs[j] = x[j] >= mean;
                residual[j] = x[j] - (signs[j] ? scale + mean : mean - scale);
            }
            return size;
        }
    }
}
