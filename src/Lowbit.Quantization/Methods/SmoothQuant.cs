// SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models
// Xiao, Lin, Seznec, Wu, Demouth, Han; arXiv 2211.10438, section 4; code: mit-han-lab/smoothquant, smooth.py.
//
// Problem   activations have columns of outliers, weights have none; a scale per column moves part of the difficulty from
//           the activations, which are rounded to 8 bits when the model runs, into the weights, which are rounded here:
//             Y = (X · diag(s)⁻¹) · (diag(s) · Wᵀ),   s_j = max |x_j|^α / max_i |W_ij|^(1−α)
// Symbols   paper      here                       meaning
//           max |X_j|  Hessian.LargestAbsolute    of an input over all tokens
//           α          Exponent                   0.5: both sides get the same largest value; the authors' later models
//                                                 use 0.8 to 0.9
//           s          1 / InputScales.Factors    both maxima at least 10⁻⁵
// Bits      8, and 16 a column for the factors.
// Cost      O(in · out).
// Gain      with 8-bit activations only (eval --activations 8bit): alone, the weights get harder to round, not easier.
// Departs   from the repository: every linear has scales of its own and none is folded into a norm (InputScales.cs), so that
//           the output and down projections, which the repository leaves alone, have some, too; the symmetric grid has
//           2⁸ levels with zero at code 128 (there 2⁸ − 1); activations are rounded in blocks of a row, as the engine does
//           it (there a whole row).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of SmoothQuant; the defaults are the paper's.</summary>
public sealed record SmoothQuantOptions : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 8;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>α, the share of the difficulty that goes into the weights.</summary>
    public double Exponent { get; init; } = 0.5;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision) + 16.0 / columns;

    internal static SmoothQuantOptions Read(MethodSettings settings)
    {
        var defaults = new SmoothQuantOptions();
        return new SmoothQuantOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Exponent = settings.Number("exponent", defaults.Exponent),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        Require(Exponent is >= 0 and <= 1, "--exponent", Exponent, "0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => SmoothQuant.Quantize(layer, this, pool);
}

/// <summary>SmoothQuant.</summary>
public static class SmoothQuant
{
    private const double Smallest = 1e-5;

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, SmoothQuantOptions options, WorkerPool pool)
    {
        float[] factors = InputScales.Factors(Scales(layer, layer.RequireHessian("smoothquant"), options.Exponent));
        var rounding = new RtnOptions { Bits = options.Bits, GroupSize = options.GroupSize, Symmetric = true, ScalePrecision = options.ScalePrecision };
        return InputScales.Unscaled(Rtn.Quantize(InputScales.Scaled(layer, factors), rounding, pool), factors);
    }

    /// <summary>s_j = max |x_j|^α / max_i |W_ij|^(1−α).</summary>
    internal static double[] Scales(LinearLayer layer, Hessian hessian, double exponent)
    {
        ReadOnlySpan<float> weight = layer.Weight.Span;
        var scales = new double[layer.InFeatures]; // first the largest |w| of the columns
        for (int r = 0; r < layer.OutFeatures; r++)
            for (int j = 0; j < scales.Length; j++) scales[j] = Math.Max(scales[j], Math.Abs(weight[r * scales.Length + j]));
        for (int j = 0; j < scales.Length; j++)
            scales[j] = Math.Pow(Math.Max(hessian.LargestAbsolute(j), Smallest), exponent) / Math.Pow(Math.Max(scales[j], Smallest), 1 - exponent);
        return scales;
    }
}
