// Rounding to two or three levels
// Binary: Rastegari et al., XNOR-Net, arXiv 1603.05279. Ternary: Li, Zhang, Liu: Ternary Weight Networks, arXiv 1605.04711.
//
// Problem   the least squared error of a group whose levels are −a, a or −a, 0, a; no calibration.
// Formula   binary    a = mean |w|,  ŵ = a · sign(w)
//           ternary   a = mean of the k largest |w| with the k that makes (their sum)² / k largest,  ŵ the nearest level
// Symbols   paper        here           meaning
//           α            scale          a
//           Δ = α* / 2   the middle between two levels, which rounding to the nearest gives by itself
// Cost      O(in · out), ternary times log(group size) for sorting.
// Departs   from arXiv 1605.04711, which takes Δ ≈ 0.7 · mean |w| for normally distributed weights: here k is the best one. As
//           all weights (k = group) is among the choices, ternary is never worse than binary.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of rounding to two or three levels.</summary>
public sealed record TernaryRtnOptions : MethodOptions
{
    /// <summary>Whether zero is a level.</summary>
    public bool Ternary { get; init; } = true;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        Ternary ? PackedBits.Codebook(columns, 2, GroupSize, ScalePrecision, LevelForm.Ternary) : PackedBits.Codebook(columns, 1, GroupSize, ScalePrecision, LevelForm.Scale);

    internal static TernaryRtnOptions Read(MethodSettings settings)
    {
        var defaults = new TernaryRtnOptions();
        return new TernaryRtnOptions { GroupSize = settings.Integer("group-size", defaults.GroupSize) };
    }

    /// <inheritdoc/>
    public override void Validate() => RequireGroupSize(GroupSize);

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => TernaryRtn.Quantize(layer, this, pool);
}

/// <summary>Rounding to two or three levels.</summary>
public static class TernaryRtn
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, TernaryRtnOptions options, WorkerPool pool)
    {
        var rounding = new ScaleRounding(options.ScalePrecision);
        var codes = new CodebookCodes(layer.OutFeatures, layer.InFeatures, options.Ternary ? 2 : 1, MethodOptions.GroupColumns(options.GroupSize, layer.InFeatures));
        var dequantized = new float[layer.Weight.Length];
        var work = new RowWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Rounding = rounding };
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, options.Ternary ? Math.Log2(3) : 1, options.ScalePrecision);
    }

    /// <summary>The scale of a group.</summary>
    internal static double Scale(ReadOnlySpan<float> weights, bool ternary)
    {
        float[] sizes = new float[weights.Length];
        for (int i = 0; i < sizes.Length; i++) sizes[i] = MathF.Abs(weights[i]);
        Array.Sort(sizes, (a, b) => b.CompareTo(a));
        double sum = 0, most = -1, scale = 0;
        for (int k = 1; k <= sizes.Length; k++)
        {
            sum += sizes[k - 1];
            if (!ternary && k < sizes.Length) continue;
            if (sum * sum / k <= most) continue;
            most = sum * sum / k;
            scale = sum / k;
        }
        return scale;
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public CodebookCodes Codes;
        public float[] Dequantized;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            int used = Codes.Bits == 1 ? 2 : 3;
            for (int r = start; r < end; r++)
                for (int c = 0; c < Codes.Columns; c += Codes.GroupSize)
                {
                    int first = r * Codes.Columns + c, width = Math.Min(Codes.GroupSize, Codes.Columns - c);
                    ReadOnlySpan<float> group = Weight.Span.Slice(first, width);
                    float scale = Rounding.Scale((float)Scale(group, used == 3));
                    Span<float> levels = Codes.Levels.AsSpan((int)Codes.Codebook(r, c), 1 << Codes.Bits);
                    (levels[0], levels[used - 1]) = (0 - scale, scale);
                    for (int j = 0; j < width; j++)
                    {
                        byte code = Codebook.Nearest(levels[..used], group[j]);
                        Codes.Codes[first + j] = code;
                        Dequantized[first + j] = levels[code];
                    }
                }
        }
    }
}
