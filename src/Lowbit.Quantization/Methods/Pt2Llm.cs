// PT²-LLM: Post-Training Ternarization for Large Language Models
// Yan, Bao, Li, Zhang, Yang, Qin, Xie, Sun, Zhang; arXiv 2510.03267, section 3; the code was not published when this was written.
//
// Problem   three levels a row and block of columns, ŵ = α t + μ with t in {−1, 0, 1}.
// Formula   start:  μ = mean w,  Δ = 0.75 · mean |w − μ|,  t = 0 where |w − μ| ≤ Δ, else its sign,  α = ⟨t, w − μ⟩ / ⟨t, t⟩
//           ITF:    until t stays as it is, the grid by least squares and t as the nearest level,
//                     α = (n ⟨w, t⟩ − ⟨1, t⟩ ⟨1, w⟩) / (n ⟨t, t⟩ − ⟨1, t⟩²),  μ = (⟨t, t⟩ ⟨1, w⟩ − ⟨1, t⟩ ⟨w, t⟩) / (the same)
//           AGA:    once more, t fixed, with ⟨x, y⟩ = x C yᵀ and n = ⟨1, 1⟩: the grid that changes the output least
//           SSR:    the columns of a block are those that point most in the direction of the mean w̄ of the columns left,
//                   cos(w_j, w̄), so that their weights have similar levels
// Symbols   paper        here          meaning
//           W̃            in Fit        w − μ
//           C            H             Σ XXᵀ of the block's columns, undamped
//           E_w, E_x                   squared error of weights, of outputs; ITF never raises the first, AGA never the second
//           k            BlockSize     columns of a block
// Order     the most similar columns first; errors of a block go to all columns left. Which columns come next is known
//           only then, so no triangle is made beforehand: with P the inverse of what is left of
//           the damped H, the columns left take W ← W − (W_B − Ŵ_B) P_BB⁻¹ P_B, the best step after a block
//           (RemainingColumns.cs).
// Bits      paper: log₂ 3 = 1.58. Stored: 1.625 a weight, five codes to a byte, α and μ of a row and block, a column's place;
//           with scales in float32 two bits a weight and four levels of a row and block, since μ ± α is rounded there.
// Cost      in³ for P, in² · out for the compensation, about 10 passes over the weights.
// Departs   from the paper: a row without two different t keeps the grid it has.

using System;
using System.Collections.Immutable;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of PT²-LLM; the defaults are those of the paper.</summary>
public sealed record Pt2LlmOptions : MethodOptions
{
    /// <summary>Whether blocks are made of similar columns (SSR) or of neighbours.</summary>
    public bool Reorder { get; init; } = true;

    /// <summary>What is added to the diagonal of the Hessian, as a share of its mean.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>Columns that share a grid, and between two updates of the columns left.</summary>
    public int BlockSize { get; init; } = 128;

    /// <inheritdoc/>
    public override bool NeedsHessian => true;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.CodebookOfBlocks(columns, 2, BlockSize, ScalePrecision, PackedBits.OfSums(LevelForm.MeanTernary, ScalePrecision));

    internal static Pt2LlmOptions Read(MethodSettings settings)
    {
        var defaults = new Pt2LlmOptions();
        return new Pt2LlmOptions
        {
            Reorder = !settings.Flag("natural-order", !defaults.Reorder),
            Damping = settings.Number("damping", defaults.Damping),
            BlockSize = settings.Integer("block-size", defaults.BlockSize),
        };
    }

    /// <inheritdoc/>
    public override void Validate() => RequireCompensation(Damping, BlockSize);

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Pt2Llm.Quantize(layer, this, pool, cancellation);
}

/// <summary>PT²-LLM.</summary>
public static unsafe class Pt2Llm
{
    private const double NominalBits = 1.584962500721156; // log₂ 3

    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, Pt2LlmOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("pt2-llm");
        int rows = layer.OutFeatures, columns = layer.InFeatures, blockSize = Math.Min(options.BlockSize, columns);
        var rounding = new ScaleRounding(options.ScalePrecision);
        var dequantized = new float[layer.Weight.Length];
        var terms = ImmutableArray.CreateBuilder<CompositeTerm>();
        using var copy = new WorkingCopy(pool, layer.WeightOfLiveInputs(), rows, columns, order: null);
        using var rest = new RemainingColumns(pool, copy, hessian, options.Damping, cancellation);
        using var errors = new NativeBuffer((long)blockSize * copy.Stride * sizeof(float));
        for (int start = 0; start < columns; start += blockSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int width = Math.Min(blockSize, columns - start);
            int[] block = options.Reorder ? rest.Bring(MostSimilar(rest, width)) : rest.Bring([.. Enumerable.Range(start, width)]);
            var codes = new CodebookCodes(rows, width, 2, width);
            var work = new RowWork
            {
                Weights = rest.Weights,
                Errors = errors.Floats,
                Stride = copy.Stride,
                Columns = columns,
                Block = block,
                Inputs = Moments(hessian, block),
                Codes = codes,
                Dequantized = dequantized,
                Rounding = rounding,
            };
            pool.Run(ref work, rows, 16);
            rest.Compensate(width, errors.Floats);
            terms.Add(new CompositeTerm(new SelectedInput(block), codes));
        }
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool, cancellation);
        return new QuantizedMatrix(new CompositeCodes(rows, columns, terms.ToImmutable()), dequantized, NominalBits, options.ScalePrecision);
    }

    // SSR: of the columns left, those with the largest cosine to their mean, rising; of equal ones the first.
    private static int[] MostSimilar(RemainingColumns rest, int width)
    {
        int rows = rest.Rows, count = rest.Count;
        var mean = new double[rows];
        for (int i = 0; i < count; i++)
            for (int r = 0; r < rows; r++) mean[r] += rest.Weights[(long)i * rest.Stride + r];
        var keys = new (double Negative, int Column)[count];
        var places = new int[count];
        for (int i = 0; i < count; i++)
        {
            double product = 0, square = 0;
            for (int r = 0; r < rows; r++)
            {
                double w = rest.Weights[(long)i * rest.Stride + r];
                product += w * mean[r];
                square += w * w;
            }
            keys[i] = (square > 0 ? -product / Math.Sqrt(square) : 0, rest.Column(i));
            places[i] = rest.Column(i);
        }
        Array.Sort(keys, places);
        Array.Sort(places, 0, width);
        return places[..width];
    }

    // [block, block].
    private static float[] Moments(Hessian hessian, int[] block)
    {
        var moments = new float[block.Length * block.Length];
        for (int i = 0; i < block.Length; i++)
            for (int j = 0; j < block.Length; j++) moments[i * block.Length + j] = hessian.Span[block[i] * hessian.Features + block[j]];
        return moments;
    }

    // The rows of a block.
    private struct RowWork : IParallelWork
    {
        public float* Weights, Errors; // [width, stride]
        public int Stride, Columns;
        public int[] Block;
        public float[] Inputs, Dequantized;
        public CodebookCodes Codes;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            int width = Block.Length;
            Span<float> row = new float[width];
            Span<sbyte> ternary = new sbyte[width];
            for (int r = start; r < end; r++)
            {
                for (int j = 0; j < width; j++) row[j] = Weights[(long)j * Stride + r];
                (double alpha, double mean) = TernaryFit.Fit(row, ternary);
                (alpha, mean) = TernaryFit.Align(row, ternary, Inputs, alpha, mean);
                Span<float> levels = Codes.Levels.AsSpan(4 * r, 4);
                Codebook.Ternary(mean, alpha, levels, Rounding);
                for (int j = 0; j < width; j++)
                {
                    byte code = Codes.Codes[r * width + j] = (byte)(ternary[j] + 1);
                    Errors[(long)j * Stride + r] = row[j] - levels[code];
                    Dequantized[(long)r * Columns + Block[j]] = levels[code];
                }
            }
        }
    }
}

/// <summary>The grid of one row and block: ŵ = α t + μ.</summary>
internal static unsafe class TernaryFit
{
    private const int MostRounds = 100; // about 10 are usual

    /// <summary>Start and ITF.</summary>
    /// <param name="weights">The block of a row.</param>
    /// <param name="ternary">t.</param>
    /// <param name="rounds">Most rounds of ITF.</param>
    public static (double Alpha, double Mean) Fit(ReadOnlySpan<float> weights, Span<sbyte> ternary, int rounds = MostRounds)
    {
        double sum = 0, deviation = 0, product = 0;
        foreach (float w in weights) sum += w;
        double mean = sum / weights.Length;
        foreach (float w in weights) deviation += Math.Abs(w - mean);
        double threshold = 0.75 * deviation / weights.Length;
        int members = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            double centred = weights[j] - mean;
            ternary[j] = (sbyte)(Math.Abs(centred) <= threshold ? 0 : Math.Sign(centred));
            product += ternary[j] * centred;
            members += ternary[j] * ternary[j];
        }
        double alpha = members == 0 ? 0 : product / members;
        for (bool changed = true; changed && rounds > 0; rounds--)
        {
            double tt = 0, t1 = 0, wt = 0;
            for (int j = 0; j < weights.Length; j++)
            {
                tt += ternary[j] * ternary[j];
                t1 += ternary[j];
                wt += ternary[j] * (double)weights[j];
            }
            (alpha, mean) = Solve(weights.Length, t1, tt, sum, wt, alpha, mean);
            changed = false;
            for (int j = 0; j < weights.Length; j++)
            {
                sbyte nearest = (sbyte)(alpha == 0 ? 0 : Math.Clamp(Math.Round((weights[j] - mean) / alpha), -1, 1));
                changed |= nearest != ternary[j];
                ternary[j] = nearest;
            }
        }
        return (alpha, mean);
    }

    /// <summary>AGA.</summary>
    /// <param name="weights">The block of a row.</param>
    /// <param name="ternary">t.</param>
    /// <param name="inputs">[width, width], second moments of the inputs.</param>
    /// <param name="alpha">α so far.</param>
    /// <param name="mean">μ so far.</param>
    public static (double Alpha, double Mean) Align(ReadOnlySpan<float> weights, ReadOnlySpan<sbyte> ternary, ReadOnlySpan<float> inputs, double alpha, double mean)
    {
        double ones = 0, t1 = 0, tt = 0, w1 = 0, wt = 0;
        int width = weights.Length;
        Span<float> images = stackalloc float[2 * width]; // 1 C and t C
        images.Clear();
        fixed (float* moments = inputs)
            for (int i = 0; i < width; i++)
            {
                Vectors.Add(moments + i * width, 1, images[..width]);
                if (ternary[i] != 0) Vectors.Add(moments + i * width, ternary[i], images[width..]);
            }
        for (int j = 0; j < width; j++)
        {
            double c1 = images[j], ct = images[width + j];
            ones += c1;
            t1 += ternary[j] * c1;
            tt += ternary[j] * ct;
            w1 += weights[j] * c1;
            wt += weights[j] * ct;
        }
        return Solve(ones, t1, tt, w1, wt, alpha, mean);
    }

    // The least squares of α t + μ, where the inner product may be any; what they leave open stays.
    private static (double Alpha, double Mean) Solve(double ones, double t1, double tt, double w1, double wt, double alpha, double mean)
    {
        double determinant = ones * tt - t1 * t1;
        if (!(determinant > 1e-9 * ones * tt)) return (alpha, ones > 0 ? (w1 - alpha * t1) / ones : mean);
        return ((ones * wt - t1 * w1) / determinant, (tt * w1 - t1 * wt) / determinant);
    }
}
