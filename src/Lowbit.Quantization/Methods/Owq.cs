// OWQ: Outlier-Aware Weight Quantization for Efficient Fine-Tuning and Inference of Large Language Models
// Lee, Jin, Kim, Kim, Park; arXiv 2306.02272, section 3; code: xvyaward/owq (recon.py, main.py).
//
// Problem   a few inputs with large activations make a few columns of the weight, the weak ones, lose nearly all of the output
//           when they are rounded; these stay in half precision, the others are quantized by GPTQ.
//             λ_j = H_jj · ‖W_:,j − Q(W_:,j)‖²
// Symbols   paper    here               meaning
//           λ_j      Sensitivities      of a column; the weak columns have the largest
//           k        Share · in         how many they are
//           H, U     Hessian, InverseFactor  as in Gptq.cs
// Order     the columns that are not weak in their natural order, or by falling diag(H); the weak ones last, so that they
//           take up the errors of all others.
// Grids     GPTQ's (Gptq.cs), fitted without the weak columns.
// Bits      b for a column, 16 for a weak one. The paper gives a budget instead: its 3.01 and 3.1 bits are shares of 0.08 %
//           and 0.8 % at b = 3.
// Cost      that of GPTQ, where a U of its own is needed for every layer.
// Departs   from the repository: grids from the range of the weights, as GPTQ has them, unless --scale-search asks for more;
//           there their range and zero are searched for the least |w − ŵ|^2.4.

using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of OWQ: those of GPTQ, with 3 bits if not set, and the share of weak columns.</summary>
public sealed record OwqOptions : CompensatingOptions
{
    /// <summary>Three bits.</summary>
    public OwqOptions() => Bits = 3;

    /// <summary>Share of the columns that are weak.</summary>
    public double Share { get; init; } = 0.01;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => base.EstimateBitsPerWeight(columns, codedPositions) + 16 * Share;

    internal static OwqOptions Read(MethodSettings settings)
    {
        var defaults = new OwqOptions();
        return defaults.With<OwqOptions>(settings) with { Share = settings.Number("outliers", defaults.Share) };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Require(Share is >= 0 and <= 1, "--outliers", Share, "a share of 0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Owq.Quantize(layer, this, pool, cancellation);
}

/// <summary>OWQ.</summary>
public static unsafe class Owq
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, OwqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("owq");
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        int[] weak = OutlierColumns.Largest(Sensitivities(layer, hessian, options, pool), (int)Math.Round(options.Share * columns));
        int[]? order = weak.Length > 0 || options.ActivationOrder ? WeakLast(weak, hessian, options.ActivationOrder) : null;
        using var copy = new WorkingCopy(pool, layer.Weight.Span, rows, columns, order);
        using var grids = new UniformColumns(copy, options, columns - weak.Length);
        copy.ClearDeadInputs(hessian);
        using InverseFactor factor = hessian.FactorInOrder(pool, options.Damping, order, cancellation);
        var quantizer = new ColumnQuantizer { Layer = layer.Name, Strong = columns - weak.Length, Grids = grids };
        Compensation.Run(pool, copy, factor, options.BlockSize, quantizer, cancellation);
        if (grids.Rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);

        float[] dequantized = copy.NaturalWeights(pool), kept = OutlierColumns.Values(dequantized, columns, weak, layer.Name);
        double share = weak.Length / (double)columns;
        return new QuantizedMatrix(
            OutlierColumns.Beside(grids.ToCodes(pool), weak, kept), dequantized, options.Bits * (1 - share) + 16 * share, options.ScalePrecision);
    }

    private static int[] WeakLast(int[] weak, Hessian hessian, bool activationOrder)
    {
        int[] all = activationOrder ? hessian.ActivationOrder() : [.. Enumerable.Range(0, hessian.Features)];
        return [.. all.Where(j => Array.BinarySearch(weak, j) < 0), .. weak];
    }

    // λ_j, with Q rounding to nearest on the same grids.
    private static double[] Sensitivities(LinearLayer layer, Hessian hessian, OwqOptions options, WorkerPool pool)
    {
        ReadOnlySpan<float> weight = layer.Weight.Span;
        float[] rounded = Rtn.Quantize(layer, new RtnOptions { Bits = options.Bits, GroupSize = options.GroupSize, Symmetric = options.Symmetric, ScaleSearch = options.ScaleSearch }, pool).Dequantized;
        var sensitivities = new double[layer.InFeatures];
        for (int i = 0; i < rounded.Length; i++)
        {
            double error = weight[i] - rounded[i];
            sensitivities[i % sensitivities.Length] += error * error;
        }
        for (int j = 0; j < sensitivities.Length; j++) sensitivities[j] *= hessian.Diagonal(j);
        return sensitivities;
    }

    private struct ColumnQuantizer : IColumnQuantizer
    {
        public UniformColumns Grids;
        public int Strong; // columns before the weak ones
        public string Layer;

        public readonly void Quantize(int column, int row, float* weights, float* quantized)
        {
            if (column < Strong)
            {
                Grids.Quantize(column, row, weights, quantized);
                return;
            }
            byte* codes = Grids.Codes(column, row);
            float* zeros = Grids.Zeros(column, row);
            for (int r = 0; r < WorkingCopy.Strip; r++)
            {
                codes[r] = (byte)zeros[r]; // nothing on the grid
                quantized[r] = 0 + HalfPrecision.Round(weights[r], Layer);
            }
        }
    }
}
