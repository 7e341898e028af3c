// ggml's block formats as what weights are rounded to
// Formats: ggml (llama.cpp), ggml-quants.c; the fields are in Kernels/Blocks/BlockLayouts.cs.
//
// Problem   the block of the format nearest to the weights: the least Σ_j v_j (w_j − ŵ_j)² over scales, minimums and codes.
// Symbols   v    H_jj, the mean square of input j, where there is calibration text (llama.cpp: the importance matrix); else 1
// Search    Kernels/Blocks/Encoding: ranges and least squares in turn for each group, then the few-bit scales of K-quants beside
//           each other.
// Cost      O(in · out) times about a hundred ranges.
// Departs   from llama.cpp, whose encoders weigh errors by w² or so where there is no importance matrix, and whose searches
//           are shorter; Q8_0 is the same. Rows that are no whole blocks of 256 take the blocks of 32 that llama-quantize
//           takes in their place, or half precision.

using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of rounding to ggml's blocks.</summary>
public sealed record GgmlOptions : MethodOptions
{
    private const float LeastImportance = 1e-6f; // of the mean: a dead input still wants its weights

    /// <summary>A format of blocks.</summary>
    public ElementFormat Type { get; init; } = ElementFormat.Q4_K;

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => Bits(BlockEncoder.ForRows(Type, columns));

    /// <summary>The formats by name.</summary>
    internal static (string Word, ElementFormat Value)[] Types => [.. BlockEncoder.Formats.Where(format => format.BlockLength() > 1).Select(format => (format.ToString(), format))];

    internal static GgmlOptions Read(MethodSettings settings) => new() { Type = settings.Choice("type", new GgmlOptions().Type, Types) };

    /// <inheritdoc/>
    public override void Validate() =>
        Require(Type.BlockLength() > 1 && BlockEncoder.Formats.Contains(Type), "--type", Type, $"one of {string.Join(", ", Types.Select(type => type.Word))}");

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation)
    {
        ElementFormat format = BlockEncoder.ForRows(Type, layer.InFeatures);
        var dequantized = new float[layer.Weight.Length];
        if (format == ElementFormat.F16)
        {
            for (int i = 0; i < dequantized.Length; i++) dequantized[i] = HalfPrecision.Round(layer.Weight.Span[i], layer.Name);
            return new QuantizedMatrix(new PlainCodes(layer.OutFeatures, layer.InFeatures, dequantized), dequantized, Bits(format), ScalePrecision.Float16);
        }
        var codes = new BlockCodes(layer.OutFeatures, layer.InFeatures, format);
        var work = new RowWork { Weight = layer.Weight, Importance = layer.Hessian is null ? [] : Importance(layer.Hessian), Codes = codes };
        pool.Run(ref work, layer.OutFeatures, 4);
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, Bits(format), ScalePrecision.Float16);
    }

    private static double Bits(ElementFormat format) => 8.0 * format.BlockBytes() / format.BlockLength();

    private static float[] Importance(Hessian hessian)
    {
        var importance = new float[hessian.Features];
        for (int j = 0; j < importance.Length; j++) importance[j] = hessian.Diagonal(j);
        double mean = importance.Average(value => (double)value);
        for (int j = 0; j < importance.Length; j++) importance[j] = mean > 0 ? Math.Max((float)(importance[j] / mean), LeastImportance) : 1;
        return importance;
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public float[] Importance;
        public BlockCodes Codes;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                BlockEncoder.FromFloat(Codes.Format, Weight.Span.Slice(r * Codes.Columns, Codes.Columns), Codes.Blocks.AsSpan(r * Codes.RowBytes, Codes.RowBytes), Importance);
        }
    }
}
