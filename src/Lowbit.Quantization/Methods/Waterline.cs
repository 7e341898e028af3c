// Waterline: partial binarization on one lattice, of as many bits as are asked for
// Lowbit's own. It descends from PB-LLM (arXiv 2310.00034), GPTQ (2210.17323) and reverse water-filling (Cover and Thomas,
// Elements of Information Theory, section 10.3.3).
//
// Problem   spend B bits a weight, all bytes counted, so that ‖X(W − Ŵ)ᵀ‖² is least.
// Idea      PB-LLM is a code of variable length: a bit for most weights, nine for few. What such a code should look like
//           is known for a Gaussian source: one uniform grid for all weights, wide or narrow, and an entropy coder, which
//           gives each integer −log₂ of its frequency in bits. That loses 0.25 bits to the rate-distortion bound at high
//           rates and less at low ones; PB-LLM's eight bits for weights that four would do, and its one bit for all
//           others, lose more than a bit. So the steps decide and saliency follows: a weight below the water line
//           (|w| < step / 2) is worth nothing, one above it a sign, few are worth more.
//               ŵ_rj = s_j · q_rj,   q_rj = round(w_rj / s_j)
// Steps     Error feedback leaves column j an error of (w − ŵ)² / U_jj² (H⁻¹ = UᵀU), so at equal slopes of bits against
//           error, reverse water-filling, all columns have the same s_j / U_jj:
//               s_j = Δ · 2^(⌊8 log₂ U_jj⌉ / 8)
//           Rows weigh equally in the error and have no scales: wide rows get more bits, not wider steps. Δ is what makes
//           the packed matrix B bits a weight, found by a search. At last the steps of the columns, free since they are
//           stored, are those which bring Q nearest to W under H with its integers as they are (ColumnFactors): the
//           levels of few bits shrink towards what lies around them.
// Symbols   W, Ŵ       weights [out, in] and what becomes of them
//           H, U       Hessian 2 XᵀX (damped), InverseFactor; columns by falling diagonal of H
//           q          IntegerCodes, coded by SpreadModel (a class for each row and column, 48 logistic distributions)
//           s          factors of ScaledInput, half precision
// Cost      that of GPTQ times the rounds of the search (two or three, 12 at most).
// In memory columns lie by how far they spread, 64 or 96 at a time in the form that takes the fewest bits (ColumnOrder).

using System;
using System.Runtime.InteropServices;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Integers;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of Waterline.</summary>
public sealed record WaterlineOptions : MethodOptions
{
    /// <summary>
    /// Bits of a weight with everything counted that is stored for it, 0.5 to 6. A matrix so small that what is stored for its
    /// rows and columns is over half of that gets half of it for its integers.
    /// </summary>
    public double Bits { get; init; } = 2.7;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns between two updates of the columns behind.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => Bits;

    internal static WaterlineOptions Read(MethodSettings settings)
    {
        var defaults = new WaterlineOptions();
        return new WaterlineOptions
        {
            Bits = settings.Number("bits", defaults.Bits),
            Damping = settings.Number("damping", defaults.Damping),
            BlockSize = settings.Integer("block-size", defaults.BlockSize),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 0.5 and <= 6, "--bits", Bits, "0.5 to 6");
        RequireCompensation(Damping, BlockSize);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Waterline.Quantize(layer, this, pool, cancellation);
}

/// <summary>Waterline.</summary>
public static unsafe class Waterline
{
    private const int MostRounds = 12;
    private const double CloseEnough = 0.005; // bits below the target that end the search
    private const int LargestInteger = 127, LargestExpected = 100;
    private const double StepBits = 16, MostBits = 8; // of a step, and of an integer: in small matrices more is spent on what describes them
    private const float SmallestHalf = 5.9604645e-8f, LargestHalf = 65504;

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, WaterlineOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("waterline");
        int[] order = hessian.ActivationOrder();
        InverseFactor factor = hessian.Factor(pool, options.Damping, activationOrder: true, cancellation);
        float[] weight = layer.WeightOfLiveInputs();
        double[] shape = StepShape(factor);
        float[] least = LeastSteps(weight, layer.OutFeatures, order);

        double target = Math.Max(options.Bits, options.Bits / 2 + StepBits / layer.OutFeatures + IntegerPacking.Overhead(layer.OutFeatures, layer.InFeatures));
        Attempt? best = Nearest(
            target, FirstDelta(weight, layer.OutFeatures, order, shape, Math.Min(target, MostBits)),
            delta => RoundColumns(layer, weight, order, factor, Steps(delta, shape, least), options.BlockSize, pool, cancellation));
        if (best is null)
            throw new LowbitException($"{layer.Name}: no step that half precision holds brings [{layer.OutFeatures}, {layer.InFeatures}] weights to {options.Bits} bits; raise --bits, or look for the fault in the weight.");
        double[] factors = ColumnFactors.Fit(pool, weight, best.Dequantized, layer.OutFeatures, hessian, options.Damping, cancellation);
        var steps = new float[layer.InFeatures];
        for (int j = 0; j < order.Length; j++)
            steps[order[j]] = (float)(Half)Math.Clamp((float)(best.Steps[j] * factors[order[j]]), -LargestHalf, LargestHalf);
        var codes = new CompositeCodes(layer.OutFeatures, layer.InFeatures, [new CompositeTerm(new ScaledInput(steps), best.Codes)]);
        codes.Dequantize(best.Dequantized);
        return new QuantizedMatrix(codes, best.Dequantized, best.Bits - StepBits / layer.OutFeatures, options.ScalePrecision);
    }

    // The attempt with the most bits that do not exceed the target; null where none has as few.
    private static Attempt? Nearest(double target, double delta, Func<double, Attempt> round)
    {
        // Bits fall by nearly one when Δ doubles; a bracket keeps the steps of the search within what is known.
        double below = 0, above = double.PositiveInfinity;
        Attempt? best = null;
        for (int i = 0; i < MostRounds; i++)
        {
            Attempt attempt = round(delta);
            double excess = attempt.Bits - target;
            if (excess <= 0)
            {
                best = attempt;
                above = delta;
                if (excess >= -CloseEnough) break;
            }
            else below = delta;
            delta *= Math.Pow(2, excess + CloseEnough / 2);
            if (!(delta > below && delta < above)) delta = double.IsFinite(above) ? Math.Sqrt(below * above) : 2 * below;
        }
        return best;
    }

    // Result of one round: with these steps, so many bits.
    private sealed record Attempt(float[] Steps, IntegerCodes Codes, float[] Dequantized, double Bits);

    // U_jj in eighths of octaves about its geometric mean, columns in their order.
    private static double[] StepShape(InverseFactor factor)
    {
        var shape = new double[factor.Size];
        double mean = 0;
        for (int j = 0; j < shape.Length; j++) mean += Math.Log2(factor[j, j]) / shape.Length;
        for (int j = 0; j < shape.Length; j++) shape[j] = Math.Pow(2, Math.Round(8 * (Math.Log2(factor[j, j]) - mean)) / 8);
        return shape;
    }

    // A normal source of deviation σ on a grid of step Δ has log₂(σ / Δ) + 2.05 bits at high rates.
    private static double FirstDelta(float[] weight, int rows, int[] order, double[] shape, double bits)
    {
        double logarithms = 0;
        int counted = 0;
        for (int j = 0; j < order.Length; j++)
        {
            double squares = 0;
            for (int r = 0; r < rows; r++) squares += (double)weight[(long)r * order.Length + order[j]] * weight[(long)r * order.Length + order[j]];
            if (squares == 0) continue;
            logarithms += Math.Log2(squares / rows) / 2 - Math.Log2(shape[j]);
            counted++;
        }
        return Math.Pow(2, (counted == 0 ? 0 : logarithms / counted) + 2.05 - bits);
    }

    // Eight bits must hold the integers of a column, whatever the loop adds to its weights before its turn.
    private static float[] LeastSteps(float[] weight, int rows, int[] order)
    {
        var least = new float[order.Length];
        for (int j = 0; j < order.Length; j++)
        {
            float largest = 0;
            for (int r = 0; r < rows; r++) largest = MathF.Max(largest, MathF.Abs(weight[(long)r * order.Length + order[j]]));
            least[j] = MathF.Max(SmallestHalf, largest / LargestExpected);
        }
        return least;
    }

    private static float[] Steps(double delta, double[] shape, float[] least)
    {
        var steps = new float[shape.Length];
        for (int j = 0; j < steps.Length; j++) steps[j] = (float)(Half)Math.Min(MathF.Max((float)(delta * shape[j]), least[j]), LargestHalf);
        return steps;
    }

    private static Attempt RoundColumns(
        LinearLayer layer, float[] weight, int[] order, InverseFactor factor, float[] steps, int blockSize, WorkerPool pool, CancellationToken cancellation)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        using var copy = new WorkingCopy(pool, weight, rows, columns, order);
        fixed (float* step = steps)
            Compensation.Run(pool, copy, factor, blockSize, new ColumnQuantizer { Steps = step, Codes = copy.Codes, Stride = copy.Stride }, cancellation);
        var codes = new IntegerCodes(rows, columns);
        copy.CopyCodesTo(pool, MemoryMarshal.AsBytes(codes.Values.AsSpan()));
        return new Attempt(steps, codes, copy.NaturalWeights(pool), IntegerPacking.Bits(codes) / weight.Length + StepBits / rows);
    }

    private struct ColumnQuantizer : IColumnQuantizer
    {
        public float* Steps; // [columns]
        public byte* Codes;  // [columns, stride]
        public int Stride;

        public readonly void Quantize(int column, int row, float* weights, float* quantized)
        {
            float step = Steps[column];
            sbyte* codes = (sbyte*)Codes + (long)column * Stride + row;
            for (int r = 0; r < WorkingCopy.Strip; r++)
            {
                codes[r] = (sbyte)Math.Clamp(MathF.Round(weights[r] / step), -LargestInteger, LargestInteger);
                quantized[r] = step * codes[r];
            }
        }
    }
}
