// Round to nearest.
//
// Problem   each weight goes to the nearest level of its group's grid; no calibration, the baseline of every other method.
// Formula   s = (max(w) − min(w)) / (2^b − 1), z = round(−min(w) / s), q = clamp(round(w / s) + z), ŵ = s · (q − z)
// Source    the quantizer of IST-DASLab/gptq (arXiv 2210.17323), without its search for a smaller range
// Cost      O(in · out)
// Departs   from the repository where a symmetric group has no negative weight, see UniformGrid.FromRange.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of round to nearest.</summary>
public sealed record RtnOptions : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = -1;

    /// <summary>Whether the grid is as wide below zero as above.</summary>
    public bool Symmetric { get; init; }

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => Bits + (ScaleBits + Bits) / (double)GroupColumns(GroupSize, columns);

    internal static RtnOptions Read(MethodSettings settings)
    {
        var defaults = new RtnOptions();
        return new RtnOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Symmetric = settings.Flag("symmetric", defaults.Symmetric),
        };
    }

    /// <inheritdoc/>
    protected override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
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
        int columns = layer.InFeatures, groupSize = MethodOptions.GroupColumns(options.GroupSize, columns);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var codes = new UniformCodes(layer.OutFeatures, columns, options.Bits, groupSize);
        var dequantized = new float[layer.Weight.Length];
        var work = new RowWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Symmetric = options.Symmetric, Rounding = rounding };
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, options.Bits, options.ScalePrecision);
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public UniformCodes Codes;
        public float[] Dequantized;
        public bool Symmetric;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int g = 0; g < Codes.Groups; g++)
                {
                    int first = r * Codes.Columns + g * Codes.GroupSize;
                    int width = Math.Min(Codes.GroupSize, Codes.Columns - g * Codes.GroupSize);
                    ReadOnlySpan<float> group = Weight.Span.Slice(first, width);
                    UniformGrid grid = UniformGrid.Fit(group, Codes.Bits, Symmetric, Rounding);
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
