// ARB-LLM: Alternating Refined Binarizations for Large Language Models
// Li, Yan, Zhang, Qin, Xie, Tian, Shi, Kong, Zhang, Yang; arXiv 2410.03129, algorithms 1 to 3; code: ZHITENGLI/ARB-LLM
// (bigptq_arb.py, binary_arb.py, utils/).
//
// Problem   BiLLM's parts (BiLlm.cs), but mean, scale and signs of a part are refined in turn until they fit each other, each
//           by the best value while the others stand, so that the error of a part never rises:
//             arb     min Σ (w − m − α b)²         m ← m + mean(w − ŵ),  α ← ⟨b, w − m⟩ / n,  b ← sign(w − m)
//             arb-x   the same, then, signs fixed, min tr((w − ŵ) S (w − ŵ)ᵀ) over m and α in turn
//             arb-rc  min Σ (w_ij − r_i c_j b_ij)²   r_i ← Σ_j c_j b_ij w_ij / Σ_j c_j²,  c_j ← Σ_i r_i b_ij w_ij / Σ_i r_i²
//           Weights of salient columns have two scales and signs, refined in turn as well, ŵ = m + α₁ b₁ + α₂ b₂ or
//           r₁ c₁ b₁ + r₂ c₂ b₂, and b₁ and b₂ are those of the nearest of the four values.
// Symbols   paper        here                 meaning
//           μ, α, B      mean, scale, codes   of a row, a block of columns and a part
//           α_r, α_c     rowScales, columnScales   of arb-rc
//           S            H of the block       Σ XᵀX, undamped
//           T            Iterations           15
//           G, C         parts, SecondClass   column-group bitmap (CGB): salient or not by column, and each of the two split by
//                                             magnitude, four parts in all
// Order     block by block, BlockCompensation.cs; parts as in BiLLM by the scores, the salient ones at the break point that
//           binarizes their scores, both sides twice, with the least squared error.
// Bits      paper: 2 r + (1 − r) with r the share of salient columns. Stored: two bits a weight, part and sign, and two more, part
//           and second sign, for the weights of salient columns; eight levels of every row and block (arb-rc: four scales) and two
//           scales of second signs; 16 bits a column of arb-rc.
// Cost      BiLLM's and 15 passes over the weights; arb-x two products of a row with S for each of its parts.
// Departs   from the paper and the repository: in arb-rc, which binarizes each part on its own, the column scales are shared
//           by the sparse and the concentrated weights of a column, so that they can be taken out of the product; r and c
//           fit both at once. Break points of arb-x by squared error as those of the others (there: by tr(R S Rᵀ) of the scores). As in
//           BiLlm.cs sign(0) = +1.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>The three ways of ARB-LLM to refine a binarization.</summary>
public enum ArbVariant
{
    /// <summary>Mean, scale and signs of a row in turn.</summary>
    Arb,
    /// <summary>Then mean and scale against the calibration inputs.</summary>
    ArbX,
    /// <summary>Scales of rows and columns, no mean.</summary>
    ArbRc,
}

/// <summary>Settings of ARB-LLM; the defaults are those of the repository's commands.</summary>
public sealed record ArbLlmOptions : MethodOptions
{
    /// <summary>What is refined.</summary>
    public ArbVariant Variant { get; init; } = ArbVariant.ArbRc;

    /// <summary>Rounds of refinement; with none this is a plain binarization.</summary>
    public int Iterations { get; init; } = 15;

    /// <summary>What scores a weight: w itself or w² / U_jj².</summary>
    public SaliencyMetric Saliency { get; init; } = SaliencyMetric.Hessian;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns that share means and scales, and between two updates of the columns behind.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions)
    {
        LevelForm sums = PackedBits.OfSums(LevelForm.TwoScales, ScalePrecision);
        double first = Variant == ArbVariant.ArbRc
            ? PackedBits.Codebook(columns, 2, BlockSize, ScalePrecision, sums, classes: 2) + 16.0 / columns
            : PackedBits.Codebook(columns, 2, BlockSize, ScalePrecision, LevelForm.Table, classes: 2);
        return first + PackedBits.SalientColumns(columns, BlockSize, ScalePrecision, sums);
    }

    internal static ArbLlmOptions Read(MethodSettings settings)
    {
        var defaults = new ArbLlmOptions();
        return new ArbLlmOptions
        {
            Iterations = settings.Integer("iterations", defaults.Iterations),
            Saliency = settings.Choice("saliency", defaults.Saliency, ("magnitude", SaliencyMetric.Magnitude), ("hessian", SaliencyMetric.Hessian)),
            Damping = settings.Number("damping", defaults.Damping),
            BlockSize = settings.Integer("block-size", defaults.BlockSize),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Iterations is >= 0 and <= 1000, "--iterations", Iterations, "0 to 1000");
        RequireCompensation(Damping, BlockSize);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        ArbLlm.Quantize(layer, this, pool, cancellation);
}

/// <summary>ARB-LLM.</summary>
public static unsafe class ArbLlm
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, ArbLlmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("arb-llm");
        int rows = layer.OutFeatures, columns = layer.InFeatures, blockSize = Math.Min(options.BlockSize, columns);
        InverseFactor factor = hessian.Factor(pool, options.Damping, activationOrder: false, cancellation);
        var rounding = new ScaleRounding(options.ScalePrecision);
        using var copy = new WorkingCopy(pool, layer.WeightOfLiveInputs(), rows, columns, order: null);
        using var scores = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        var quantizer = new BlockQuantizer(options, pool, factor, hessian, rounding, scores.Floats, copy.Stride, rows, columns, blockSize);
        BlockCompensation.Run(pool, copy, factor, blockSize, quantizer, cancellation);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        CompositeCodes codes = quantizer.Codes();
        return new QuantizedMatrix(codes, quantizer.Dequantized, 1 + quantizer.SalientColumns / (double)columns, options.ScalePrecision);
    }

    private sealed class BlockQuantizer(
        ArbLlmOptions options, WorkerPool pool, InverseFactor factor, Hessian hessian, ScaleRounding rounding, float* scores, int stride, int rows, int columns, int blockSize)
        : IBlockQuantizer
    {
        private readonly bool[] _isSalient = new bool[columns];
        private readonly float[] _factors = new float[columns]; // of the inputs
        private readonly SalientColumns _salient = new(rows);
        private CodebookCodes? _codes; // made with _isSalient

        public float[] Dequantized { get; } = new float[(long)rows * columns];

        public int SalientColumns => _salient.Count;

        private CodebookCodes First => _codes ??= new(rows, columns, 2, blockSize, _isSalient);

        public CompositeCodes Codes()
        {
            InputTransform input = options.Variant == ArbVariant.ArbRc ? new ScaledInput(_factors) : new WholeInput();
            var first = new CompositeTerm(input, First);
            return new CompositeCodes(rows, columns, _salient.Term(haarOutput: false) is { } second ? [first, second] : [first]);
        }

        public void Quantize(int start, int width, float* weights, float* levels)
        {
            BlockSearch.Score(weights, width, stride, options.Saliency == SaliencyMetric.Hessian ? factor : null, start, scores);
            var search = new BlockSearch(scores, width, rows, stride);
            int[] ranked = search.RankColumns();
            int count = search.SalientColumns(pool, ranked);
            int[] salient = ranked[..count], others = ranked[count..];
            float breakPoint = search.BreakPoint(pool, others), salientBreakPoint = count == 0 ? 0 : search.SalientBreakPoint(pool, salient);
            Array.Sort(salient);
            Array.Sort(others);
            foreach (int j in salient) _isSalient[start + j] = true;
            var second = new CodebookCodes(rows, Math.Max(1, count), 2, Math.Max(1, count));
            var secondFactors = new float[count];
            Array.Fill(secondFactors, 1);
            if (options.Variant == ArbVariant.ArbRc)
            {
                // Column scales bind all rows of a block together.
                var scaled = new RowColumnScales(scores, weights, stride, rows, options.Iterations, rounding, pool);
                scaled.Binarize(others, breakPoint, First, start, _factors);
                if (count > 0) scaled.BinarizeTwice(salient, salientBreakPoint, First, start, _factors, second, secondFactors);
            }
            else
            {
                Array.Fill(_factors, 1, start, width);
                var work = new RowWork
                {
                    Weights = weights,
                    Scores = scores,
                    Stride = stride,
                    Start = start,
                    Width = width,
                    Others = others,
                    Salient = salient,
                    BreakPoint = breakPoint,
                    SalientBreakPoint = salientBreakPoint,
                    First = First,
                    Second = second,
                    Inputs = options.Variant == ArbVariant.ArbX ? hessian : null,
                    Iterations = options.Iterations,
                    Rounding = rounding,
                };
                pool.Run(ref work, rows, 8);
            }
            _salient.Add(start, width, salient, secondFactors, second);
            for (int j = 0; j < width; j++)
            {
                int i = Array.BinarySearch(salient, j);
                for (int r = 0; r < rows; r++)
                {
                    float level = 0; // where sums begin, which makes −0 to 0
                    level += First.Dequantize(r, start + j) * _factors[start + j];
                    if (i >= 0) level += second.Dequantize(r, i) * secondFactors[i];
                    levels[(long)j * stride + r] = Dequantized[(long)r * columns + start + j] = level;
                }
            }
        }
    }

    // arb and arb-x: the rows of a block, each on its own.
    private struct RowWork : IParallelWork
    {
        public float* Weights, Scores; // [width, stride]
        public int Stride, Start, Width, Iterations;
        public int[] Others, Salient; // columns of the block, rising
        public float BreakPoint, SalientBreakPoint;
        public CodebookCodes First, Second; // m ∓ α₁ and ∓ α₂, the second one of salient columns only
        public Hessian? Inputs; // for arb-x
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            var part = new RefinedPart(Width, Iterations, Inputs, Start);
            for (int r = start; r < end; r++)
            {
                Span<float> levels = First.Levels.AsSpan((int)First.Codebook(r, Start) & ~7, 8); // four of columns that are not salient, four of those that are
                Span<byte> codes = First.Codes.AsSpan(r * First.Columns + Start, Width);
                BinarizeOthers(part, r, levels[..4], codes);
                if (Salient.Length > 0) BinarizeSalient(part, r, levels[4..], codes);
            }
        }

        // Codes rise with the level: sparse −, concentrated −, concentrated +, sparse +.
        private readonly void BinarizeOthers(RefinedPart part, int r, Span<float> levels, Span<byte> codes)
        {
            Span<float> outer = stackalloc float[2];
            part.Take(Weights + r, Scores + r, Stride, Others, BreakPoint, sparse: false);
            part.Binarize(levels.Slice(1, 2), orders: 1);
            for (int i = 0; i < part.Codes.Length; i++) codes[part.Columns[i]] = (byte)(1 + part.Codes[i]);
            part.Take(Weights + r, Scores + r, Stride, Others, BreakPoint, sparse: true);
            part.Binarize(outer, orders: 1);
            (levels[0], levels[3]) = (outer[0], outer[1]);
            for (int i = 0; i < part.Codes.Length; i++) codes[part.Columns[i]] = (byte)(3 * part.Codes[i]);
            Codebook.Round(levels, Rounding);
        }

        // Codes of the first signs: concentrated − and +, sparse − and +; of the second ones as those of the other columns.
        private readonly void BinarizeSalient(RefinedPart part, int r, Span<float> levels, Span<byte> codes)
        {
            Span<float> four = stackalloc float[4], seconds = stackalloc float[2]; // α₂ of either part
            double size = 0;
            for (int sparse = 0; sparse < 2; sparse++)
            {
                part.Take(Weights + r, Scores + r, Stride, Salient, SalientBreakPoint, sparse == 1);
                part.Binarize(four, orders: 2);
                (double mean, double scale) = (part.Parameters[0], part.Parameters[1]);
                (levels[2 * sparse], levels[2 * sparse + 1]) = ((float)(mean - scale), (float)(mean + scale));
                seconds[sparse] = (float)part.Parameters[2];
                size = Math.Max(size, Math.Abs(mean) + Math.Abs(scale));
                for (int i = 0; i < part.Codes.Length; i++)
                {
                    codes[part.Columns[i]] = (byte)(2 * sparse + (part.Codes[i] >> 1));
                    Second.Codes[r * Salient.Length + Array.BinarySearch(Salient, part.Columns[i])] = (byte)((part.Codes[i] & 1) == 0 ? 1 - sparse : 2 + sparse);
                }
            }
            Codebook.Round(levels, Rounding);
            Codebook.TwoScales(seconds[0], seconds[1], size, Second.Levels.AsSpan(4 * r, 4), Rounding);
        }
    }
}
