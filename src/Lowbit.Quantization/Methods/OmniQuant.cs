// OmniQuant: Omnidirectionally Calibrated Quantization for Large Language Models
// Shao, Chen, Zhang, Xu, Zhao, Li, Zhang, Gao, Qiao, Luo; arXiv 2308.13137, section 3; code: OpenGVLab/OmniQuant, quantize
// (quantizer.py, omniquant.py).
//
// Problem   how far each grid reaches (learnable weight clipping) and a scale for every column (learnable equivalent
//           transformation) are found by gradient descent on the error of the output:
//             W' = W · diag(s),  Ŵ' = h · (q − z),  q = clamp(round(W' / h) + z, 0, 2^b − 1),  Ŵ = Ŵ' · diag(s)⁻¹
//             h = (σ(γ) · max W' − σ(β) · min W') / (2^b − 1),  z = round(−σ(β) · min W' / h)
//             min over γ, β, s of ‖X (W − Ŵ)ᵀ‖²
// Symbols   paper   here                      meaning
//           γ, β    High, Low                 logits of every row and group; they start at 4, σ(4) = 0.982
//           s       exp LogScales             of every column; starts at SmoothQuant's with exponent Exponent
//           σ       Sigmoid
// Step      Adam; round counts as the identity in derivatives:
//             ∂ŵ'/∂w' = 1, ∂ŵ'/∂h = round(w'/h) − w'/h                     inside the grid
//             ŵ' is the end of the grid, σ(γ) · max W' or σ(β) · min W'    outside
//           max W' and min W' carry the derivative to the s of their column.
// Bits      those of the grid, and 16 a column for s; clipping costs nothing.
// Cost      Iterations · in² · out.
// Departs   - the objective is the output of this linear, through its Hessian; the paper's is that of the whole block, sample
//             by sample. The gradient has no noise then, so 200 steps, at five times the learning rates, stand for the
//             repository's 20 epochs of 128 samples.
//           - every linear has scales of its own and none is folded (InputScales.cs); the repository scales the inputs of
//             q, k, v, o, gate and up, ties those that share an input, and for weights of LLaMA alone it scales nothing
//             (--no-scales). There are no shifts, and no scales between queries and keys.
//           - s is learned as its logarithm; there s itself, held away from zero.
//           - s starts at 1 (Exponent 0): the repository's start, SmoothQuant's scales with exponent ½, is meant for
//             rounded activations.
//           - the best parameters seen are kept; there the last ones.
//           - the rounding of z counts as the identity, too, as in SignRound; there z is a constant, and weights beyond one end
//             move both.
//           - grids contain zero (UniformGrid.cs).

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of OmniQuant.</summary>
public sealed record OmniQuantOptions : MethodOptions
{
    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 128;

    /// <summary>Whether columns are scaled, and not only grids clipped.</summary>
    public bool Scales { get; init; } = true;

    /// <summary>Exponent of the SmoothQuant scales to start from; 0 starts at 1.</summary>
    public double Exponent { get; init; }

    /// <summary>Steps of the descent.</summary>
    public int Iterations { get; init; } = 200;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision) + (Scales ? 16.0 / columns : 0);

    internal static OmniQuantOptions Read(MethodSettings settings)
    {
        var defaults = new OmniQuantOptions();
        return new OmniQuantOptions
        {
            Bits = settings.Integer("bits", defaults.Bits),
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Scales = !settings.Flag("no-scales", !defaults.Scales),
            Exponent = settings.Number("exponent", defaults.Exponent),
            Iterations = settings.Integer("iterations", defaults.Iterations),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
        Require(Exponent is >= 0 and <= 1, "--exponent", Exponent, "0 to 1");
        RequireIterations(Iterations);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        OmniQuant.Quantize(layer, this, pool, cancellation);
}

/// <summary>OmniQuant.</summary>
public static unsafe class OmniQuant
{
    private const float ClippingRate = 5e-2f, ScaleRate = 2.5e-2f, StartLogit = 4;
    private const int Grain = 32; // rows whose share in the gradient of the scales is summed first

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, OmniQuantOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("omniquant");
        int rows = layer.OutFeatures, columns = layer.InFeatures;
        var codes = new UniformCodes(rows, columns, options.Bits, MethodOptions.GroupColumns(options.GroupSize, columns));
        Adam high = new(codes.Scales.Length, ClippingRate, StartLogit), low = new(codes.Scales.Length, ClippingRate, StartLogit);
        var logScales = new Adam(columns, ScaleRate, 0);
        if (options is { Scales: true, Exponent: > 0 })
        {
            float[] start = InputScales.Factors(SmoothQuant.Scales(layer, hessian, options.Exponent));
            for (int j = 0; j < columns; j++) logScales.Values[j] = -MathF.Log(start[j]);
        }
        float[] bestHigh = [], bestLow = [], bestFactors = [];
        double least = double.PositiveInfinity;
        using var objective = new LayerObjective(pool, layer, hessian);
        var work = new StepWork
        {
            Layer = layer,
            Codes = codes,
            High = high,
            Low = low,
            ScaleGradients = new double[(rows + Grain - 1) / Grain, columns],
            Factors = new float[columns],
            Errors = objective.Errors,
            HalfGradient = objective.HalfGradient,
            Rounding = new ScaleRounding(options.ScalePrecision),
        };
        for (int t = 0; ; t++)
        {
            cancellation.ThrowIfCancellationRequested();
            for (int j = 0; j < columns; j++) work.Factors[j] = (float)(Half)MathF.Exp(-logScales.Values[j]);
            work.Learns = false;
            pool.Run(ref work, rows, Grain);
            double loss = objective.Evaluate();
            if (loss < least || t == 0)
            {
                least = loss;
                (bestHigh, bestLow, bestFactors) = ([.. high.Values], [.. low.Values], [.. work.Factors]);
            }
            if (t == options.Iterations) break;
            work.Learns = true;
            Array.Clear(work.ScaleGradients);
            pool.Run(ref work, rows, Grain);
            for (int j = 0; j < columns; j++)
                for (int i = 0; i < work.ScaleGradients.GetLength(0); i++) logScales.Gradient[j] += (float)work.ScaleGradients[i, j];
            high.Step();
            low.Step();
            if (options.Scales) logScales.Step();
        }
        bestHigh.CopyTo(high.Values, 0);
        bestLow.CopyTo(low.Values, 0);
        (work.Factors, work.Learns, work.Rounding) = (bestFactors, false, new ScaleRounding(options.ScalePrecision));
        pool.Run(ref work, rows, Grain);
        if (work.Rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        var dequantized = new float[layer.Weight.Length];
        codes.Dequantize(dequantized);
        var scaled = new QuantizedMatrix(codes, dequantized, options.Bits, options.ScalePrecision);
        return options.Scales ? InputScales.Unscaled(scaled, bestFactors) : scaled;
    }

    private static float Sigmoid(float x) => 1 / (1 + MathF.Exp(-x));

    /// <summary>Parameters with the moments of Adam (arXiv 1412.6980), its own defaults for the decay of these.</summary>
    private sealed class Adam
    {
        private readonly float[] _first, _second;
        private readonly float _rate;
        private int _steps;

        public Adam(int count, float rate, float start)
        {
            Values = new float[count];
            Gradient = new float[count];
            _first = new float[count];
            _second = new float[count];
            _rate = rate;
            Array.Fill(Values, start);
        }

        public float[] Values { get; }

        public float[] Gradient { get; }

        public void Step()
        {
            _steps++;
            float rate = _rate * MathF.Sqrt(1 - MathF.Pow(0.999f, _steps)) / (1 - MathF.Pow(0.9f, _steps));
            for (int i = 0; i < Values.Length; i++)
            {
                float gradient = Gradient[i];
                _first[i] = 0.9f * _first[i] + 0.1f * gradient;
                _second[i] = 0.999f * _second[i] + 0.001f * gradient * gradient;
                if (_second[i] > 0) Values[i] -= rate * _first[i] / MathF.Sqrt(_second[i]);
                Gradient[i] = 0;
            }
        }
    }

    // Codes and errors of the present parameters, or the gradients.
    private struct StepWork : IParallelWork
    {
        public LinearLayer Layer;
        public UniformCodes Codes;
        public Adam High, Low;
        public double[,] ScaleGradients; // [chunks of rows, columns]
        public float[] Factors;          // 1/s
        public float* Errors, HalfGradient;
        public bool Learns;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            var scaled = new float[Codes.GroupSize];
            for (int r = start; r < end; r++)
                for (int g = 0; g < Codes.Groups; g++)
                {
                    int column = g * Codes.GroupSize, width = Math.Min(Codes.GroupSize, Codes.Columns - column), highest = 0, lowest = 0;
                    ReadOnlySpan<float> group = Layer.Weight.Span.Slice(r * Codes.Columns + column, width);
                    for (int j = 0; j < width; j++)
                    {
                        scaled[j] = group[j] / Factors[column + j];
                        if (scaled[j] > scaled[highest]) highest = j;
                        if (scaled[j] < scaled[lowest]) lowest = j;
                    }
                    int parameter = r * Codes.Groups + g;
                    float max = MathF.Max(0, scaled[highest]), min = MathF.Min(0, scaled[lowest]);
                    float high = Sigmoid(High.Values[parameter]), low = Sigmoid(Low.Values[parameter]);
                    UniformGrid grid = UniformGrid.FromRange(low * min, high * max, Codes.Bits, symmetric: false, Rounding);
                    if (!Learns)
                    {
                        Round(grid, parameter, group, scaled, column);
                        continue;
                    }
                    (double byHigh, double byLow) = Gradient(grid, group, scaled, r, column);
                    High.Gradient[parameter] = (float)(byHigh * max * high * (1 - high));
                    Low.Gradient[parameter] = (float)(byLow * min * low * (1 - low));
                    ScaleGradients[start / Grain, column + highest] += byHigh * high * max;
                    ScaleGradients[start / Grain, column + lowest] += byLow * low * min;
                }
        }

        private readonly void Round(UniformGrid grid, int parameter, ReadOnlySpan<float> group, float[] scaled, int column)
        {
            Codes.Scales[parameter] = grid.Scale;
            Codes.Zeros[parameter] = (byte)grid.Zero;
            int first = parameter / Codes.Groups * Codes.Columns + column;
            for (int j = 0; j < group.Length; j++)
            {
                float code = grid.Encode(scaled[j]);
                Codes.Codes[first + j] = (byte)code;
                Errors[first + j] = grid.Decode(code) * Factors[column + j] - group[j];
            }
        }

        // The derivatives by the two ends of the grid; those by ln s, but for what goes through the ends, are added to the chunk's.
        private readonly (double High, double Low) Gradient(UniformGrid grid, ReadOnlySpan<float> group, float[] scaled, int row, int column)
        {
            double step = 0, high = 0, low = 0;
            for (int j = 0; j < group.Length; j++)
            {
                float factor = Factors[column + j], gradient = HalfGradient[row * Codes.Columns + column + j], x = scaled[j] / grid.Scale;
                float rounded = MathF.Round(x), code = rounded + grid.Zero;
                if (code < 0) low += gradient * factor;
                else if (code > grid.MaxCode) high += gradient * factor;
                else step += gradient * factor * (rounded - x);
                // ŵ = ŵ'(w · s) / s: by ln s it is w · ∂ŵ'/∂w' − ŵ.
                float level = grid.Decode(Math.Clamp(code, 0, grid.MaxCode)) * factor;
                ScaleGradients[row / Grain, column + j] += gradient * ((code >= 0 && code <= grid.MaxCode ? group[j] : 0) - level);
            }
            return (high + step / grid.MaxCode, low - step / grid.MaxCode);
        }
    }
}
