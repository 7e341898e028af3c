// Round to nearest.
//
// Problem   each weight goes to the nearest level of its group's grid; no calibration, the baseline of every other method.
// Formula   s = (max(w) − min(w)) / (2^b − 1), z = round(−min(w) / s), q = clamp(round(w / s) + z), ŵ = s · (q − z)
// Search    the share of the range, 100 to 21 %, with the least Σ |w − ŵ|^p, p = 2 or 2.4, and a neighbouring zero if that is better
// One bit   two levels for each group, stored as such: ±a, or the ends of the range, or the two means of the least squared error
// Source    the quantizer of IST-DASLab/gptq (arXiv 2210.17323, quant.py)
// Cost      O(in · out)
// Departs   from the repository where a symmetric group has no negative weight, see UniformGrid.FromRange.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of round to nearest.</summary>
public sealed record RtnOptions : MethodOptions
{
    /// <summary>Bits of a code, 1 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row, 0 for all rows.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Whether the grid is as wide below zero as above.</summary>
    public bool Symmetric { get; init; }

    /// <summary>What range of weights a grid spans.</summary>
    public ScaleSearch ScaleSearch { get; init; }

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        Bits == 1 ? PackedBits.Codebook(columns, Bits, GroupSize, ScalePrecision, LevelForm.MeanScale) : PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision);

    internal static RtnOptions Read(MethodSettings settings)
    {
        var defaults = new RtnOptions();
        return new RtnOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Symmetric = settings.Flag("symmetric", defaults.Symmetric),
            ScaleSearch = ReadScaleSearch(settings),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 1 and <= 8, "--bits", Bits, "1 to 8");
        Require(Bits > 1 || ScaleSearch != ScaleSearch.Lp, "--scale-search", "lp", "minmax or mse with one bit");
        RequireGroupSizeOrMatrix(GroupSize);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => Rtn.Quantize(layer, this, pool);
}

/// <summary>Round to nearest.</summary>
public static class Rtn
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, RtnOptions options, WorkerPool pool)
    {
        if (options.Bits == 1) return OneBit(layer, options, pool);
        int columns = layer.InFeatures, groupSize = MethodOptions.GroupColumns(options.GroupSize, columns);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var codes = new UniformCodes(layer.OutFeatures, columns, options.Bits, groupSize);
        var dequantized = new float[layer.Weight.Length];
        var work = new RowWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Options = options, Rounding = rounding };
        if (options.GroupSize == 0) work.OfMatrix = work.Fit(layer.Weight.Span);
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, options.Bits, options.ScalePrecision);
    }

    private static QuantizedMatrix OneBit(LinearLayer layer, RtnOptions options, WorkerPool pool)
    {
        var rounding = new ScaleRounding(options.ScalePrecision);
        var codes = new CodebookCodes(layer.OutFeatures, layer.InFeatures, 1, MethodOptions.GroupColumns(options.GroupSize, layer.InFeatures));
        var dequantized = new float[layer.Weight.Length];
        var work = new OneBitWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Options = options, Rounding = rounding };
        if (options.GroupSize == 0) work.OfMatrix = work.Fit(layer.Weight.Span);
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return OneBit(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, 1, options.ScalePrecision);
    }

    private struct OneBitWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public CodebookCodes Codes;
        public float[] Dequantized;
        public RtnOptions Options;
        public ScaleRounding Rounding;
        public (float Low, float High)? OfMatrix;

        public readonly (float Low, float High) Fit(ReadOnlySpan<float> weights) => TwoLevels.Fit(weights, Options.Symmetric, Options.ScaleSearch, Rounding);

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int c = 0; c < Codes.Columns; c += Codes.GroupSize)
                {
                    int first = r * Codes.Columns + c, width = Math.Min(Codes.GroupSize, Codes.Columns - c);
                    ReadOnlySpan<float> group = Weight.Span.Slice(first, width);
                    Span<float> levels = Codes.Levels.AsSpan((int)Codes.Codebook(r, c), 2);
                    (levels[0], levels[1]) = OfMatrix ?? Fit(group);
                    for (int j = 0; j < width; j++)
                    {
                        byte code = Codebook.Nearest(levels, group[j]);
                        Codes.Codes[first + j] = code;
                        Dequantized[first + j] = levels[code];
                    }
                }
        }
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public UniformCodes Codes;
        public float[] Dequantized;
        public RtnOptions Options;
        public ScaleRounding Rounding;
        public UniformGrid? OfMatrix;

        public readonly UniformGrid Fit(ReadOnlySpan<float> weights) => UniformGrid.Fit(weights, Codes.Bits, Options.Symmetric, Rounding, Options.ScaleSearch);

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int g = 0; g < Codes.Groups; g++)
                {
                    int first = r * Codes.Columns + g * Codes.GroupSize;
                    int width = Math.Min(Codes.GroupSize, Codes.Columns - g * Codes.GroupSize);
                    ReadOnlySpan<float> group = Weight.Span.Slice(first, width);
                    UniformGrid grid = OfMatrix ?? Fit(group);
                    Codes.Scales[r * Codes.Groups + g] = grid.Scale;
                    Codes.Zeros[r * Codes.Groups + g] = (byte)grid.Zero;
                    for (int j = 0; j < width; j++)
                    {
                        float code = grid.Encode(group[j]);
                        Codes.Codes[first + j] = (byte)code;
                        Dequantized[first + j] = grid.Decode(code);
                    }
                }
        }
    }
}
