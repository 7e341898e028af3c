// PB-LLM: Partially Binarized Large Language Models
// Shang, Yuan, Wu, Dong; arXiv 2310.00034, section 3; code: hahnyuan/PB-LLM, gptq_pb/ (gptq.py, low_quant.py, high_quant.py).
//
// Problem   a small share of the weights, the salient ones, keeps 8 bits; all others become one bit,
//             ŵ = α · sign(w − m) + m          not salient, α and m of the row (or of the row and group of columns)
//             ŵ = s · (q − z)                  salient, s and z of the row
//           PB-RTN stops there; PB-GPTQ rounds column by column and lets the columns behind make up for the error.
// Symbols   paper        here                  meaning
//           W            WorkingCopy.Weights   weights [in, out]
//           H, U         Hessian, InverseFactor  2 XᵀX and U with (H + λ)⁻¹ = UᵀU
//           v            Saliency              |w|, or w² / U_jj²
//           r_salient    SalientShare          1 − binary fraction, of the matrix or of every group of columns over all rows
//           W^bin, α, m  BinaryGrid            levels of the weights that are not salient
//           W^sal        UniformGrid           8-bit grid over all weights of the row, salient or not
// Order     saliency, masks, m, α and grids all come from the original weights and stay; GPTQ's updates change only what
//           is rounded. Columns are taken in their natural order.
// Bits      paper, equation 3: 1 · (1 − r) + 8 · r + 1 for the bitmap of positions, without scales: 2.7 at r = 0.1.
// Cost      in³ · 2/3 for U, in² · out for the loop; PB-RTN by magnitude O(in · out).
// Departs   from the paper: saliency divides by U_jj² instead of [H⁻¹]_jj², as the repository does.
//           from the repository:
//           - α and m are means over the binarized weights, as the paper has it; the repository divides by the width of
//             the group and counts salient weights as zero. ScaleRule.Repository gives its numbers.
//           - sign(0) = +1: where w = m its value is m, a third level that one bit cannot hold.
//           - 2bit: the repository computes the zero point of every row with the scale of row 0 (it indexes scales of
//             rows by the group); here each row has its own.
//           - a share of 0 or 1 is allowed, and a group need not be a multiple of the block.
// Keeps     from the repository: the weights of dead inputs count in the grid of the salient weights; only then are they
//           set to zero.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of PB-LLM; the defaults are the paper's.</summary>
public sealed record PbLlmOptions : MethodOptions
{
    /// <summary>Whether errors are compensated (PB-GPTQ) or not (PB-RTN).</summary>
    public bool Compensate { get; init; } = true;

    /// <summary>Share of salient weights, 0 to 1.</summary>
    public double SalientShare { get; init; } = 0.1;

    /// <summary>How salient weights are found.</summary>
    public SaliencyMetric Saliency { get; init; } = SaliencyMetric.Magnitude;

    /// <summary>Bits of a salient weight, 2 to 8.</summary>
    public int SalientBits { get; init; } = 8;

    /// <summary>What becomes of the other weights.</summary>
    public BinaryKind Binary { get; init; } = BinaryKind.Xnor;

    /// <summary>Over how many weights the means behind α and m are taken.</summary>
    public ScaleRule ScaleRule { get; init; } = ScaleRule.Paper;

    /// <summary>Consecutive columns that share α and m, and in which the share holds; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns between two updates of the columns behind.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => Compensate || Saliency == SaliencyMetric.Hessian;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions)
    {
        double r = SalientShare, entropy = r is <= 0 or >= 1 ? 0 : -r * Math.Log2(r) - (1 - r) * Math.Log2(1 - r);
        double plane = (columns + 63) / 64 * 64 / (double)columns; // whole words
        double positions = codedPositions ? Math.Min(1, 1.02 * entropy) : plane; // Golomb-Rice codes lie some percent above the entropy
        int low = Binary switch
        {
            BinaryKind.Prune => 0,
            BinaryKind.TwoBit => 2,
            _ => 1,
        };
        int scale = ScalePrecision == ScalePrecision.Float16 ? 16 : 32;
        double scales = 2 * scale * PackedBits.Groups(GroupSize, columns) + (scale + 8.0) / columns;
        return positions + low * plane + (SalientBits - low) * r + scales;
    }

    internal static PbLlmOptions Read(MethodSettings settings)
    {
        var defaults = new PbLlmOptions();
        return new PbLlmOptions
        {
            SalientShare = settings.Number("salient", defaults.SalientShare),
            Saliency = settings.Choice("saliency", defaults.Saliency, ("magnitude", SaliencyMetric.Magnitude), ("hessian", SaliencyMetric.Hessian)),
            SalientBits = settings.Integer("salient-bits", defaults.SalientBits),
            Binary = settings.Choice("binary", defaults.Binary,
                ("xnor", BinaryKind.Xnor), ("sign", BinaryKind.Sign), ("2bit", BinaryKind.TwoBit), ("prune", BinaryKind.Prune)),
            ScaleRule = settings.Choice("scale-rule", defaults.ScaleRule, ("paper", ScaleRule.Paper), ("repository", ScaleRule.Repository)),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Damping = settings.Number("damping", defaults.Damping),
            BlockSize = settings.Integer("block-size", defaults.BlockSize),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(SalientShare is >= 0 and <= 1, "--salient", SalientShare, "a share of 0 to 1");
        Require(SalientBits is >= 2 and <= 8, "--salient-bits", SalientBits, "2 to 8");
        RequireGroupSize(GroupSize);
        RequireCompensation(Damping, BlockSize);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        PbLlm.Quantize(layer, this, pool, cancellation);
}

/// <summary>PB-RTN and PB-GPTQ.</summary>
public static unsafe class PbLlm
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, PbLlmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        int groupSize = MethodOptions.GroupColumns(options.GroupSize, columns);
        InverseFactor? factor = !options.NeedsHessian ? null
            : layer.RequireHessian(options.Compensate ? "pb-gptq" : "pb-rtn --saliency hessian")
                .Factor(pool, options.Damping, activationOrder: false, cancellation);
        float[] weight = layer.WeightOfLiveInputs();

        var codes = new PartiallyBinarizedCodes(rows, columns, BinaryGrid.BitsOf(options.Binary), options.SalientBits, groupSize, columns);
        Saliency.Mark(
            weight, rows, columns, groupSize, options.SalientShare, options.Saliency == SaliencyMetric.Hessian ? factor : null, codes.Salient);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var thresholds = new float[codes.LowScale.Length];
        var fit = new FitWork { Original = layer.Weight, Weight = weight, Codes = codes, Thresholds = thresholds, Options = options, Rounding = rounding };
        pool.Run(ref fit, rows, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);

        float[] dequantized = options.Compensate
            ? Compensate(pool, weight, codes, thresholds, factor!, options.BlockSize, cancellation) : RoundToNearest(pool, weight, codes, thresholds);
        return new QuantizedMatrix(codes, dequantized, NominalBits(codes), options.ScalePrecision);
    }

    // Equation 3 of the paper, with the share that is really salient.
    private static double NominalBits(PartiallyBinarizedCodes codes)
    {
        double share = codes.Salient.AsSpan().Count(true) / (double)codes.Salient.Length;
        return codes.LowBits * (1 - share) + codes.HighBits * share + 1;
    }

    private static UniformGrid HighGrid(PartiallyBinarizedCodes codes, int row) =>
        new(codes.HighScale[row], codes.HighZero[row], (1 << codes.HighBits) - 1);

    // Grids of the salient weights and levels of the others, row by row.
    private struct FitWork : IParallelWork
    {
        public ReadOnlyMemory<float> Original; // with the weights of dead inputs
        public float[] Weight, Thresholds;
        public PartiallyBinarizedCodes Codes;
        public PbLlmOptions Options;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            int columns = Codes.Columns, groups = Codes.LowGroups, size = Codes.LowGroupSize;
            for (int r = start; r < end; r++)
            {
                ReadOnlySpan<float> row = Weight.AsSpan(r * columns, columns);
                ReadOnlySpan<bool> salient = Codes.Salient.AsSpan(r * columns, columns);
                UniformGrid high = UniformGrid.Fit(Original.Span.Slice(r * columns, columns), Codes.HighBits, symmetric: false, Rounding);
                Codes.HighScale[r] = high.Scale;
                Codes.HighZero[r] = (byte)high.Zero;
                for (int g = 0; g < groups; g++)
                {
                    int first = g * size, width = Math.Min(size, columns - first);
                    BinaryGrid low = BinaryGrid.Fit(Options.Binary, row.Slice(first, width), salient.Slice(first, width), Options.ScaleRule, Rounding);
                    Codes.LowScale[r * groups + g] = low.Scale;
                    Codes.LowMean[r * groups + g] = low.Mean;
                    Thresholds[r * groups + g] = low.Threshold;
                }
            }
        }
    }

    // PB-RTN: every weight to the nearest level of its own grid.
    private static float[] RoundToNearest(WorkerPool pool, float[] weight, PartiallyBinarizedCodes codes, float[] thresholds)
    {
        var work = new RoundWork { Weight = weight, Codes = codes, Thresholds = thresholds, Dequantized = new float[weight.Length] };
        pool.Run(ref work, codes.Rows, 16);
        return work.Dequantized;
    }

    private struct RoundWork : IParallelWork
    {
        public float[] Weight, Thresholds, Dequantized;
        public PartiallyBinarizedCodes Codes;

        public readonly void Execute(int start, int end)
        {
            int columns = Codes.Columns, groups = Codes.LowGroups;
            for (int r = start; r < end; r++)
            {
                UniformGrid high = HighGrid(Codes, r);
                for (int g = 0; g < groups; g++)
                {
                    int parameters = r * groups + g;
                    var low = new BinaryGrid(Codes.LowBits, Codes.LowMean[parameters], Codes.LowScale[parameters], Thresholds[parameters]);
                    int first = r * columns + g * Codes.LowGroupSize, last = r * columns + Math.Min(columns, (g + 1) * Codes.LowGroupSize);
                    for (int i = first; i < last; i++)
                    {
                        float code = Codes.Salient[i] ? high.Encode(Weight[i]) : low.Encode(Weight[i]);
                        Codes.Codes[i] = (byte)code;
                        Dequantized[i] = Codes.Salient[i] ? high.Decode(code) : low.Decode(code);
                    }
                }
            }
        }
    }

    // PB-GPTQ: the same, column by column, with compensation.
    private static float[] Compensate(
        WorkerPool pool, float[] weight, PartiallyBinarizedCodes codes, float[] thresholds, InverseFactor factor, int blockSize, CancellationToken cancellation)
    {
        using var copy = new WorkingCopy(pool, weight, codes.Rows, codes.Columns, order: null);
        using var quantizer = new PartiallyBinarizedColumns(pool, copy, codes, thresholds);
        Compensation.Run(pool, copy, factor, blockSize, quantizer, cancellation);
        copy.CopyCodesTo(pool, codes.Codes);
        return copy.NaturalWeights(pool);
    }
}
