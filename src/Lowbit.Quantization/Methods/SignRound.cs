// SignRound (AutoRound): Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs
// Cheng, Zhang, Shen, Cai, He, Lv, Liu; arXiv 2309.05516, section 3; code: intel/auto-round, auto_round (data_type/int.py,
// sign_sgd.py, wrapper.py).
//
// Problem   which way each weight is rounded, and how far each grid reaches, are learned together:
//             q = clamp(round(w / s + v) + z, 0, 2^b − 1),  ŵ = s · (q − z)
//             s = (α · max w − β · min w) / (2^b − 1),      z = round(−β · min w / s)
//             min over v ∈ [−½, ½], α, β ∈ [0, 1] of ‖X (W − Ŵ)ᵀ‖²
// Symbols   paper   here               meaning
//           V       Parameters.Offset  of every weight, starts at 0
//           α, β    High, Low          of every row and group, start at 1
//           T       Iterations         200; lr = 1/T, falling to 0 on a line, so that v can just cross a border
// Step      p ← p − lr · sign(∂L/∂p); round counts as the identity in derivatives (straight-through):
//             ∂ŵ/∂v = s,  ∂ŵ/∂s = round(w / s + v) − w / s           inside the grid
//             ŵ is the end of the grid, so ∂ŵ/∂(α max w) or ∂ŵ/∂(β min w) = 1   outside
// Bits      those of the grid; nothing of what was learned is stored but the codes.
// Cost      Iterations · in² · out.
// Departs   from the repository:
//           - the objective is the output of this linear, through its Hessian, where there it is that of the whole block,
//             for batches of 8 samples. So the gradient has no noise, and rows do not know of each other:
//           - the best parameters are kept for each row; there for the block at once.
//           - a symmetric grid has the same levels for groups without negative weights (UniformGrid.cs).
// Keeps     from the repository: the step is rounded to half precision before codes are chosen.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of SignRound; the defaults are the paper's.</summary>
public sealed record SignRoundOptions : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 128;

    /// <summary>Whether the grid is as wide below zero as above.</summary>
    public bool Symmetric { get; init; }

    /// <summary>Steps of the descent; 0 is rounding to nearest.</summary>
    public int Iterations { get; init; } = 200;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision);

    internal static SignRoundOptions Read(MethodSettings settings)
    {
        var defaults = new SignRoundOptions();
        return new SignRoundOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Symmetric = settings.Flag("symmetric", defaults.Symmetric),
            Iterations = settings.Integer("iterations", defaults.Iterations),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        RequireIterations(Iterations);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        SignRound.Quantize(layer, this, pool, cancellation);
}

/// <summary>SignRound.</summary>
public static unsafe class SignRound
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, SignRoundOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("signround");
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        var codes = new UniformCodes(rows, columns, options.Bits, MethodOptions.GroupColumns(options.GroupSize, columns));
        Parameters current = new(codes), best = new(codes);
        var bestLosses = new double[rows];
        Array.Fill(bestLosses, double.PositiveInfinity);
        using var objective = new LayerObjective(pool, layer, hessian);
        var work = new StepWork
        {
            Layer = layer,
            Codes = codes,
            Parameters = current,
            Best = best,
            BestLosses = bestLosses,
            Losses = objective.RowLosses,
            Errors = objective.Errors,
            HalfGradient = objective.HalfGradient,
            Symmetric = options.Symmetric,
            Rounding = new ScaleRounding(options.ScalePrecision),
        };
        for (int t = 0; t <= options.Iterations; t++)
        {
            cancellation.ThrowIfCancellationRequested();
            work.Phase = Phase.Round;
            pool.Run(ref work, rows, 16);
            objective.Evaluate();
            work.Phase = Phase.Learn;
            work.Rate = options.Iterations == 0 ? 0 : (1 - t / (float)options.Iterations) / options.Iterations;
            pool.Run(ref work, rows, 16);
        }
        (work.Phase, work.Parameters, work.Rounding) = (Phase.Round, best, new ScaleRounding(options.ScalePrecision));
        pool.Run(ref work, rows, 16);
        if (work.Rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        var dequantized = new float[layer.Weight.Length];
        codes.Dequantize(dequantized);
        return new QuantizedMatrix(codes, dequantized, options.Bits, options.ScalePrecision);
    }

    private sealed class Parameters
    {
        public Parameters(UniformCodes codes)
        {
            Offset = new float[codes.Codes.Length];
            High = new float[codes.Scales.Length];
            Low = new float[codes.Scales.Length];
            Array.Fill(High, 1);
            Array.Fill(Low, 1);
        }

        public float[] Offset { get; } // V, [rows, columns]
        public float[] High { get; }   // α, [rows, groups]
        public float[] Low { get; }    // β, [rows, groups]

        public void CopyRow(Parameters source, int row, int columns, int groups)
        {
            Array.Copy(source.Offset, (long)row * columns, Offset, (long)row * columns, columns);
            Array.Copy(source.High, (long)row * groups, High, (long)row * groups, groups);
            Array.Copy(source.Low, (long)row * groups, Low, (long)row * groups, groups);
        }
    }

    private enum Phase
    {
        /// <summary>Codes and errors of the present parameters.</summary>
        Round,
        /// <summary>Keeps the parameters of rows that are better than ever, and takes one step.</summary>
        Learn,
    }

    private struct StepWork : IParallelWork
    {
        public Phase Phase;
        public LinearLayer Layer;
        public UniformCodes Codes;
        public Parameters Parameters, Best;
        public double[] Losses, BestLosses;
        public float* Errors, HalfGradient;
        public bool Symmetric;
        public ScaleRounding Rounding;
        public float Rate;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
            {
                if (Phase == Phase.Learn && Losses[r] < BestLosses[r])
                {
                    BestLosses[r] = Losses[r];
                    Best.CopyRow(Parameters, r, Codes.Columns, Codes.Groups);
                }
                for (int g = 0; g < Codes.Groups; g++)
                {
                    int first = r * Codes.Columns + g * Codes.GroupSize, width = Math.Min(Codes.GroupSize, Codes.Columns - g * Codes.GroupSize);
                    if (Phase == Phase.Round) Round(r * Codes.Groups + g, first, width);
                    else Learn(r * Codes.Groups + g, first, width);
                }
            }
        }

        private readonly UniformGrid Grid(int parameter, ReadOnlySpan<float> group, out float min, out float max)
        {
            min = max = 0;
            foreach (float w in group)
            {
                min = MathF.Min(min, w);
                max = MathF.Max(max, w);
            }
            return UniformGrid.FromRange(Parameters.Low[parameter] * min, Parameters.High[parameter] * max, Codes.Bits, Symmetric, Rounding);
        }

        private readonly void Round(int parameter, int first, int width)
        {
            ReadOnlySpan<float> group = Layer.Weight.Span.Slice(first, width);
            UniformGrid grid = Grid(parameter, group, out _, out _);
            Codes.Scales[parameter] = grid.Scale;
            Codes.Zeros[parameter] = (byte)grid.Zero;
            for (int j = 0; j < width; j++)
            {
                float code = Math.Clamp(MathF.Round(group[j] / grid.Scale + Parameters.Offset[first + j]) + grid.Zero, 0, grid.MaxCode);
                Codes.Codes[first + j] = (byte)code;
                Errors[first + j] = grid.Decode(code) - group[j];
            }
        }

        private readonly void Learn(int parameter, int first, int width)
        {
            ReadOnlySpan<float> group = Layer.Weight.Span.Slice(first, width);
            UniformGrid grid = Grid(parameter, group, out float min, out float max);
            double step = 0, high = 0, low = 0; // derivatives by s inside the grid and by its two ends outside
            for (int j = 0; j < width; j++)
            {
                float x = group[j] / grid.Scale, gradient = HalfGradient[first + j];
                ref float offset = ref Parameters.Offset[first + j];
                float rounded = MathF.Round(x + offset), code = rounded + grid.Zero;
                if (code < 0) low += gradient;
                else if (code > grid.MaxCode) high += gradient;
                else
                {
                    step += gradient * (rounded - x);
                    if (gradient != 0) offset = Math.Clamp(offset - Rate * MathF.Sign(gradient), -0.5f, 0.5f);
                }
            }
            if (Symmetric)
            {
                // One end m rules: s = 2m / (2^b − 1), and the ends are −m − s/2 and m − s/2.
                double half = 1 / grid.MaxCode, end = 2 * half * step + (1 - half) * high - (1 + half) * low;
                if (Parameters.High[parameter] * max >= -Parameters.Low[parameter] * min) Descend(ref Parameters.High[parameter], end * max);
                else Descend(ref Parameters.Low[parameter], -end * min);
                return;
            }
            Descend(ref Parameters.High[parameter], (high + step / grid.MaxCode) * max);
            Descend(ref Parameters.Low[parameter], (low - step / grid.MaxCode) * min);
        }

        private readonly void Descend(ref float factor, double gradient)
        {
            if (gradient != 0) factor = Math.Clamp(factor - Rate * Math.Sign(gradient), 0, 1);
        }
    }
}
