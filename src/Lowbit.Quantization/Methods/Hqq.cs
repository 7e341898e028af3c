// HQQ: Half-Quadratic Quantization of Large Machine Learning Models
// Badri, Shaji; Mobius Labs, November 2023 (mobiusml.github.io/hqq_blog); code: mobiusml/hqq, hqq/core (quantize.py,
// optimize.py).
//
// Problem   min over z of Σ |W − s (Q(W) − z)|^p, p < 1, which forgives outliers; no calibration, s stays.
// Formula   splitting off the error W_e (half-quadratic splitting) makes both steps closed:
//             Q   ← clamp(round(W / s + z)),  W_r = s (Q − z)
//             W_e ← shrink(W − W_r),          shrink(x) = sign(x) · max(0, |x| − |x|^(p−1) / β)
//             z   ← mean over the group of Q − (W − W_e) / s
//             β   ← κ β
//           until the mean of |W − W_r| over the whole matrix does not fall any more, at most 20 times.
// Symbols   blog             here          meaning
//           s, z             UniformCodes.Scales, RealZeros   of a row and group of columns; z is no whole number
//           l_p norm p       LpNorm        0.7
//           β, κ             Beta, Kappa   10, 1.01
// Start     s = (max w − min w) / (2^b − 1), at least 1/20000; z = −min w / s, with 4 bits rounded to a
//           whole number; s = 1 where the range is below 10⁻⁴.
// Cost      20 · O(in · out), most of it in |x|^(p−1).
// Departs   from the library: groups run along a row and its last one may be shorter (the library wants whole groups);
//           arithmetic is float32, as the library's on a CPU, except for the sums; with 16-bit scales s and z are rounded
//           before the last Q is taken.
// Keeps     from the library: z has already moved on when the iteration stops, so the last Q belongs to a z that is one
//           step behind the best error.

using System;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of HQQ; the defaults are the library's.</summary>
public sealed record HqqOptions : MethodOptions
{
    internal const float LpNorm = 0.7f, Beta = 10, Kappa = 1.01f;
    internal const int Iterations = 20;

    /// <summary>Bits of a code, 2 to 8.</summary>
    public int Bits { get; init; } = 4;

    /// <summary>Consecutive columns that share a scale; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 64;

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) => PackedBits.Uniform(columns, Bits, GroupSize, ScalePrecision, realZeros: true);

    internal static HqqOptions Read(MethodSettings settings)
    {
        var defaults = new HqqOptions();
        return new HqqOptions { Bits = settings.Integer("bits", defaults.Bits), GroupSize = settings.Integer("group-size", defaults.GroupSize) };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(Bits is >= 2 and <= 8, "--bits", Bits, "2 to 8");
        RequireGroupSize(GroupSize);
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Hqq.Quantize(layer, this, pool, cancellation);
}

/// <summary>HQQ.</summary>
public static class Hqq
{
    private const float SmallestRange = 1e-4f, LargestInverseScale = 2e4f;

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, HqqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        int rows = layer.OutFeatures, columns = layer.InFeatures, groupSize = MethodOptions.GroupColumns(options.GroupSize, columns);
        var codes = new UniformCodes(rows, columns, options.Bits, groupSize, realZeros: true);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var work = new GroupWork
        {
            Step = Step.Start,
            Weight = layer.Weight,
            Codes = codes,
            InverseScales = new float[codes.Scales.Length],
            Errors = new double[rows],
            Beta = HqqOptions.Beta,
            Rounding = rounding,
            Dequantized = new float[layer.Weight.Length],
        };
        pool.Run(ref work, rows, 16);
        work.Step = Step.Improve;
        float best = float.PositiveInfinity;
        for (int i = 0; i < HqqOptions.Iterations; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            pool.Run(ref work, rows, 16);
            work.Beta *= HqqOptions.Kappa;
            double sum = 0;
            foreach (double error in work.Errors) sum += error;
            float mean = (float)(sum / work.Dequantized.Length);
            if (mean >= best) break;
            best = mean;
        }
        work.Step = Step.Round;
        pool.Run(ref work, rows, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        return new QuantizedMatrix(codes, work.Dequantized, options.Bits, options.ScalePrecision);
    }

    private enum Step
    {
        /// <summary>Scales and zeros from the range of the group.</summary>
        Start,
        /// <summary>One round for the zeros.</summary>
        Improve,
        /// <summary>Codes and levels.</summary>
        Round,
    }

    private struct GroupWork : IParallelWork
    {
        public Step Step;
        public ReadOnlyMemory<float> Weight;
        public UniformCodes Codes;
        public float[] InverseScales, Dequantized;
        public double[] Errors; // of every row, the sum of |W − W_r|
        public float Beta;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            float maxCode = (1 << Codes.Bits) - 1;
            for (int r = start; r < end; r++)
            {
                double error = 0;
                for (int g = 0; g < Codes.Groups; g++)
                {
                    int parameter = r * Codes.Groups + g, first = r * Codes.Columns + g * Codes.GroupSize;
                    ReadOnlySpan<float> group = Weight.Span.Slice(first, Math.Min(Codes.GroupSize, Codes.Columns - g * Codes.GroupSize));
                    ref float zero = ref Codes.RealZeros![parameter];
                    switch (Step)
                    {
                        case Step.Start: InverseScales[parameter] = InverseScale(group, maxCode, out zero); break;
                        case Step.Improve: error += Improve(group, InverseScales[parameter], ref zero, maxCode, Beta); break;
                        default: Round(group, parameter, first, maxCode); break;
                    }
                }
                Errors[r] = error;
            }
        }

        private readonly void Round(ReadOnlySpan<float> group, int parameter, int first, float maxCode)
        {
            float scale = Codes.Scales[parameter] = Rounding.Scale(1 / InverseScales[parameter]);
            float zero = Codes.RealZeros![parameter] = Rounding.Mean(Codes.RealZeros[parameter], 1);
            float inverse = scale == 1 / InverseScales[parameter] ? InverseScales[parameter] : 1 / scale;
            for (int j = 0; j < group.Length; j++)
            {
                float code = Math.Clamp(MathF.Round(group[j] * inverse + zero), 0, maxCode);
                Codes.Codes[first + j] = (byte)code;
                Dequantized[first + j] = scale * (code - zero);
            }
        }
    }

    private static float InverseScale(ReadOnlySpan<float> group, float maxCode, out float zero)
    {
        float min = group[0], max = group[0];
        foreach (float w in group)
        {
            min = MathF.Min(min, w);
            max = MathF.Max(max, w);
        }
        float range = max - min, inverse = range <= SmallestRange ? 1 : MathF.Min(maxCode / range, LargestInverseScale);
        zero = -min * inverse;
        if (maxCode == 15) zero = MathF.Round(zero); // the library's default configuration does it for 4 bits only
        return inverse;
    }

    // One round; returns Σ |W − W_r| of the zero before it.
    private static double Improve(ReadOnlySpan<float> group, float inverse, ref float zero, float maxCode, float beta)
    {
        Vector256<float> inverses = Vector256.Create(inverse), zeros = Vector256.Create(zero), maxCodes = Vector256.Create(maxCode);
        double error = 0, sum = 0;
        ReadOnlySpan<Vector256<float>> vectors = MemoryMarshal.Cast<float, Vector256<float>>(group);
        foreach (Vector256<float> w in vectors) Add(w, Vector256<float>.Count);
        int rest = group.Length % Vector256<float>.Count;
        if (rest > 0)
        {
            Span<float> last = stackalloc float[Vector256<float>.Count];
            group[^rest..].CopyTo(last);
            Add(Vector256.Create<float>(last), rest);
        }
        zero = (float)(sum / group.Length);
        return error;

        void Add(Vector256<float> w, int count)
        {
            Vector256<float> q = Vector256.Min(Vector256.Max(Vector256.Round(w * inverses + zeros), Vector256<float>.Zero), maxCodes);
            Vector256<float> e = w - (q - zeros) / inverses, size = Vector256.Abs(e);
            // 0^(p−1) is infinite, and max(0, 0 − ∞) = 0 as it should be.
            Vector256<float> power = Vector256.Exp(Vector256.Log(size) * (HqqOptions.LpNorm - 1));
            Vector256<float> shrunk = Vector256.CopySign(Vector256.Max(size - power * (1 / beta), Vector256<float>.Zero), e);
            Vector256<float> z = q - (w - shrunk) * inverses;
            for (int i = 0; i < count; i++)
            {
                error += size[i];
                sum += z[i];
            }
        }
    }
}
