// LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale
// Dettmers, Lewis, Belkada, Zettlemoyer; arXiv 2208.07339, section 3; code: bitsandbytes, Linear8bitLt.
//
// Problem   a few inputs carry nearly all large activations; their columns stay in half precision, the rest goes to 8 bits:
//             Y = X_O · W_Oᵀ + S · (X_I · W_Iᵀ) in int8,   O = { j : max |x_j| ≥ 6 }
// Symbols   paper   here                      meaning
//           O       OutlierColumns            chosen for good by the calibration text
//           α       Threshold                 6; or Share, the columns with the largest max |x_j|
//           c_w     UniformCodes.Scales       of a row, max |w| over the columns not in O
// Bits      8, and 16 for the columns in O.
// Cost      O(in · out).
// Gain      with 8-bit activations (eval --activations 8bit), whose blocks the outliers no longer widen.
// Departs   from the library: there O is found anew in every product, from the activations at hand, and weights in it are
//           kept in 8 bits, too; a symmetric grid has 2⁸ levels with zero at code 128 (there 2⁸ − 1); scales do not see the
//           columns in O; activations are rounded in blocks of a row, as the engine does it (there a whole row).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of LLM.int8(); the defaults are the paper's.</summary>
public sealed record LlmInt8Options : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 8;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Columns whose inputs reach this size are kept; not used where a share is given.</summary>
    public double Threshold { get; init; } = 6;

    /// <summary>Share of the columns to keep instead, those with the largest inputs; null for the threshold.</summary>
    public double? Share { get; init; }

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision) + 16 * (Share ?? 0.01);

    internal static LlmInt8Options Read(MethodSettings settings)
    {
        var defaults = new LlmInt8Options();
        double share = settings.Number("outliers", double.NaN);
        return new LlmInt8Options
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Threshold = settings.Number("outlier-threshold", defaults.Threshold),
            Share = double.IsNaN(share) ? null : share,
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        Require(Threshold >= 0, "--outlier-threshold", Threshold, "a number from 0");
        if (Share is { } share) Require(share is >= 0 and <= 1, "--outliers", share, "a share of 0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => LlmInt8.Quantize(layer, this, pool);
}

/// <summary>LLM.int8().</summary>
public static class LlmInt8
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, LlmInt8Options options, WorkerPool pool)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        int[] outliers = Outliers(layer, options);
        float[] rest = layer.Weight.ToArray();
        foreach (int j in outliers)
            for (int r = 0; r < rows; r++) rest[r * columns + j] = 0;
        var rounding = new RtnOptions { Bits = options.Bits, GroupSize = options.GroupSize, Symmetric = true, ScalePrecision = options.ScalePrecision };
        QuantizedMatrix rounded = Rtn.Quantize(new LinearLayer(layer.Name, rows, columns, rest), rounding, pool);
        float[] kept = OutlierColumns.Values(layer.Weight.Span, columns, outliers, layer.Name);
        for (int i = 0; i < kept.Length; i++) rounded.Dequantized[i / outliers.Length * columns + outliers[i % outliers.Length]] = 0 + kept[i];
        double share = outliers.Length / (double)columns;
        return rounded with { Codes = OutlierColumns.Beside(rounded.Codes, outliers, kept), NominalBitsPerWeight = options.Bits * (1 - share) + 16 * share };
    }

    private static int[] Outliers(LinearLayer layer, LlmInt8Options options)
    {
        Hessian hessian = layer.RequireHessian("llm-int8");
        var sizes = new double[layer.InFeatures];
        for (int j = 0; j < sizes.Length; j++) sizes[j] = hessian.LargestAbsolute(j);
        if (options.Share is { } share) return OutlierColumns.Largest(sizes, (int)Math.Round(share * sizes.Length));
        if (!hessian.HasInputs)
            throw new LowbitException($"{layer.Name}: a Hessian does not tell how large single inputs are, which --outlier-threshold is about; give the inputs, or a share of columns with --outliers.");
        return OutlierColumns.Largest(sizes, Array.FindAll(sizes, size => size >= options.Threshold).Length);
    }
}
