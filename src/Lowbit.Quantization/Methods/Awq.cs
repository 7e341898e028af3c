// AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration
// Lin, Tang, Tang, Yang, Chen, Wang, Xiao, Dang, Gan, Han; arXiv 2306.00978, section 3; code: mit-han-lab/llm-awq,
// awq/quantize (auto_scale.py, auto_clip.py, quantizer.py).
//
// Problem   few weights matter much, those of inputs with large activations; scaling their columns up before rounding makes
//           their relative error small, and the inputs are scaled down in return:
//             min over s of ‖X (W − Q(W · diag(s)) · diag(s)⁻¹)ᵀ‖²,  s_j = a_j^α,  α = 0, 1/20, … 19/20
//           Then every row and group is clipped to ±c before its grid is fitted,
//             min over c of ‖X_g (W' − Q(clamp(W', ±c)))ᵀ‖²,  c = (1 − i/20) · max |W'|,  i = 0 … 9
// Symbols   paper   here                       meaning
//           s_X     Hessian.MeanAbsolute       a, the mean of |x| of an input over all tokens
//           α       Exponent                   one for the whole layer
//           s       1 / InputScales.Factors    a^α, at least 10⁻⁴, divided by √(max s · min s)
//           Q       Rtn                        round to nearest on groups of GroupSize columns
// Order     scales, then clipping of the scaled weight, then rounding.
// Bits      b, and 16 a column for the factors.
// Cost      20 · in² · out for the scales, 10 · GroupSize · in · out for clipping.
// Departs   from the repository:
//           - errors are those of this linear's output, through its Hessian and with all tokens; there the scales see the
//             output of the whole attention or feed-forward part, and clipping at most 512 tokens.
//           - every linear has scales of its own, none is folded into another weight (InputScales.cs), so the output
//             projection of grouped-query attention has some, too.
//           - q and k are clipped like all others; there they are not, because their error enters a product.
//           - grids contain zero (UniformGrid.cs); there their range is that of the group.
//           - the inputs are those of the quantized model before this layer; there those of the float model.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of AWQ; the defaults are the repository's.</summary>
public sealed record AwqOptions : MethodOptions
{
    internal const int ScaleSteps = 20, ClipSteps = 10;

    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 128;

    /// <summary>Whether the grid is as wide below zero as above.</summary>
    public bool Symmetric { get; init; }

    /// <summary>α; null to search it.</summary>
    public double? Exponent { get; init; }

    /// <summary>Whether groups are clipped.</summary>
    public bool Clip { get; init; } = true;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision) + 16.0 / columns;

    internal RtnOptions Rounding => new() { Bits = Bits, GroupSize = GroupSize, Symmetric = Symmetric, ScalePrecision = ScalePrecision };

    internal static AwqOptions Read(MethodSettings settings)
    {
        var defaults = new AwqOptions();
        double exponent = settings.Number("exponent", double.NaN);
        return new AwqOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Symmetric = settings.Flag("symmetric", defaults.Symmetric),
            Exponent = double.IsNaN(exponent) ? null : exponent,
            Clip = !settings.Flag("no-clip", !defaults.Clip),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        if (Exponent is { } exponent) Require(exponent is >= 0 and <= 1, "--exponent", exponent, "0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Awq.Quantize(layer, this, pool, cancellation);
}

/// <summary>AWQ.</summary>
public static unsafe class Awq
{
    private const double SmallestScale = 1e-4;

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, AwqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("awq");
        float[] factors = options.Exponent is { } exponent ? Factors(hessian, exponent) : SearchFactors(layer, hessian, options, pool, cancellation);
        LinearLayer scaled = InputScales.Scaled(layer, factors);
        if (options.Clip) scaled = Clip(scaled, hessian, factors, options, pool, cancellation);
        return InputScales.Unscaled(Rtn.Quantize(scaled, options.Rounding, pool), factors);
    }

    private static float[] Factors(Hessian hessian, double exponent)
    {
        var scales = new double[hessian.Features];
        for (int j = 0; j < scales.Length; j++) scales[j] = Math.Max(Math.Pow(hessian.MeanAbsolute(j), exponent), SmallestScale);
        return InputScales.Factors(scales);
    }

    // The first of equally good exponents, of which 0 is rounding to nearest.
    private static float[] SearchFactors(LinearLayer layer, Hessian hessian, AwqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        float[] best = [];
        double least = double.PositiveInfinity;
        for (int i = 0; i < AwqOptions.ScaleSteps; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            float[] factors = Factors(hessian, i / (double)AwqOptions.ScaleSteps);
            QuantizedMatrix rounded = InputScales.Unscaled(Rtn.Quantize(InputScales.Scaled(layer, factors), options.Rounding, pool), factors);
            double error = OutputError.Squared(pool, layer.Weight.Span, rounded.Dequantized, layer.OutFeatures, hessian);
            if (error >= least) continue;
            (best, least) = (factors, error);
        }
        return best;
    }

    private static LinearLayer Clip(LinearLayer layer, Hessian hessian, float[] factors, AwqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures, groupSize = MethodOptions.GroupColumns(options.GroupSize, columns);
        var clipped = layer.Weight.ToArray();
        using var errors = new NativeBuffer((long)rows * groupSize * sizeof(float));
        double[] energies = new double[rows], least = new double[rows];
        var bounds = new float[rows];
        var work = new ClipWork
        {
            Weight = clipped,
            Factors = factors,
            Errors = errors.Floats,
            Options = options,
            Rounding = new ScaleRounding(options.ScalePrecision),
            Columns = columns,
        };
        for (int start = 0; start < columns; start += groupSize)
        {
            (work.Start, work.Width) = (start, Math.Min(groupSize, columns - start));
            Array.Fill(least, double.PositiveInfinity);
            Array.Fill(bounds, float.PositiveInfinity);
            for (int i = 0; i < AwqOptions.ClipSteps; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                work.Share = 1 - i / 20f;
                pool.Run(ref work, rows, 16);
                OutputError.Energies(pool, errors.Floats, rows, work.Width, hessian.Values + (long)start * columns + start, columns, energies);
                for (int r = 0; r < rows; r++)
                    if (energies[r] < least[r]) (least[r], bounds[r]) = (energies[r], work.Share);
            }
            for (int r = 0; r < rows; r++)
            {
                Span<float> group = clipped.AsSpan(r * columns + start, work.Width);
                float bound = bounds[r] * Vectors.Largest(group);
                if (bounds[r] < 1) foreach (ref float w in group) w = Math.Clamp(w, -bound, bound);
            }
        }
        return new LinearLayer(layer.Name, rows, columns, clipped, layer.Hessian);
    }

    // (W' − Q(clamp(W', ±c))) · diag(f) of one group of columns for a given share c / max |W'|.
    private struct ClipWork : IParallelWork
    {
        public float[] Weight, Factors;
        public float* Errors; // [rows, width]
        public AwqOptions Options;
        public ScaleRounding Rounding;
        public int Columns, Start, Width;
        public float Share;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                ReadOnlySpan<float> group = Weight.AsSpan(r * Columns + Start, Width);
                float bound = Share * Vectors.Largest(group), min = 0, max = 0;
                foreach (float w in group)
                {
                    min = MathF.Min(min, w);
                    max = MathF.Max(max, w);
                }
                UniformGrid grid = UniformGrid.FromRange(MathF.Max(min, -bound), MathF.Min(max, bound), Options.Bits, Options.Symmetric, Rounding);
                for (int j = 0; j < group.Length; j++)
                    Errors[(long)r * Width + j] = (group[j] - grid.Decode(grid.Encode(Math.Clamp(group[j], -bound, bound)))) * Factors[Start + j];
            }
        }
    }
}
