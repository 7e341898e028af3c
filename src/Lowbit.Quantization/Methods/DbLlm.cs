// DB-LLM: Accurate Dual-Binarization for Efficient LLMs
// Chen, Lv, Ding, Qin, Zhou, Ding, Liu, Zhang, Guo, Liu, Tao; arXiv 2402.11960, section 3.2 (flexible dual binarization); no code
// of the authors was found.
//
// Problem   two bits a weight as two sparse planes of bits, so that products are sums of selected inputs:
//             ŵ = α₁ b₁ + α₂ b₂,  b in {0, 1}
// Formula   start:  α₁ = 2 s, α₂ = −s with s = max |w| / 2 over the group, so that the levels are −s, 0, s, 2 s
//           b₁ = [w ≥ (α₁ + α₂) / 2],  b₂ = [w − α₁ b₁ ≤ α₂ / 2]: the nearest level
//           then α₁, α₂ by least squares and b₁, b₂ as the nearest level in turn, until no bit changes; the error never rises
// Symbols   paper     here       meaning
//           α₁, α₂    in Fit     of a row and group of columns
//           w_b1, w_b2  codes    b₁ + 2 b₂
// Bits      2 for the planes. Stored also: three numbers of every row and group; with scales in float32 the four levels.
// Cost      O(in · out), about 10 passes.
// Departs   from the paper: α₁ and α₂ are fitted to the weights where the paper learns them by distillation (its section 3.3), a
//           training of the whole model.

using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of DB-LLM's two planes.</summary>
public sealed record DbLlmOptions : MethodOptions
{
    /// <summary>Consecutive columns that share scales; −1 for the whole row.</summary>
    public int GroupSize { get; init; } = 64;

    /// <summary>Most rounds of refinement; with none the scales are the paper's starting values.</summary>
    public int Iterations { get; init; } = 100;

    /// <inheritdoc/>
    public override bool NeedsHessian => false;

    /// <inheritdoc/>
    public override double EstimateBitsPerWeight(int columns, bool codedPositions) =>
        PackedBits.Codebook(columns, 2, GroupSize, ScalePrecision, PackedBits.OfSums(LevelForm.MeanTwoScales, ScalePrecision));

    internal static DbLlmOptions Read(MethodSettings settings)
    {
        var defaults = new DbLlmOptions();
        return new DbLlmOptions
        {
            GroupSize = settings.Integer("group-size", defaults.GroupSize),
            Iterations = settings.Integer("iterations", defaults.Iterations),
        };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        RequireGroupSize(GroupSize);
        Require(Iterations is >= 0 and <= 1000, "--iterations", Iterations, "0 to 1000");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) => DbLlm.Quantize(layer, this, pool);
}

/// <summary>DB-LLM's flexible dual binarization.</summary>
public static class DbLlm
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, DbLlmOptions options, WorkerPool pool)
    {
        int columns = layer.InFeatures;
        var codes = new CodebookCodes(layer.OutFeatures, columns, 2, MethodOptions.GroupColumns(options.GroupSize, columns));
        var rounding = new ScaleRounding(options.ScalePrecision);
        var dequantized = new float[layer.Weight.Length];
        var work = new RowWork { Weight = layer.Weight, Codes = codes, Dequantized = dequantized, Iterations = options.Iterations, Rounding = rounding };
        pool.Run(ref work, layer.OutFeatures, 16);
        if (rounding.Failed) return Quantize(layer, options with { ScalePrecision = ScalePrecision.Float32 }, pool);
        return new QuantizedMatrix(codes, dequantized, 2, options.ScalePrecision);
    }

    /// <summary>Finds α₁ and α₂ of a group.</summary>
    /// <param name="weights">The group.</param>
    /// <param name="codes">b₁ + 2 b₂ of every weight.</param>
    /// <param name="iterations">Most rounds.</param>
    internal static (double First, double Second) Fit(ReadOnlySpan<float> weights, Span<byte> codes, int iterations)
    {
        float largest = Vectors.Largest(weights);
        double first = largest, second = -largest / 2.0;
        Span<float> levels = stackalloc float[4];
        Assign(weights, codes, first, second, levels);
        for (bool changed = true; changed && iterations > 0; iterations--)
        {
            double n1 = 0, n2 = 0, both = 0, w1 = 0, w2 = 0;
            for (int j = 0; j < weights.Length; j++)
            {
                int b1 = codes[j] & 1, b2 = codes[j] >> 1;
                n1 += b1;
                n2 += b2;
                both += b1 * b2;
                w1 += b1 * (double)weights[j];
                w2 += b2 * (double)weights[j];
            }
            double determinant = n1 * n2 - both * both; // 0 where a plane is empty or both are the same
            if (determinant > 0) (first, second) = ((n2 * w1 - both * w2) / determinant, (n1 * w2 - both * w1) / determinant);
            else if (n1 > 0) first = (w1 - both * second) / n1;
            else if (n2 > 0) second = w2 / n2;
            changed = Assign(weights, codes, first, second, levels);
        }
        return (first, second);
    }

    // Returns whether a code changed.
    private static bool Assign(ReadOnlySpan<float> weights, Span<byte> codes, double first, double second, Span<float> levels)
    {
        bool changed = false;
        (levels[0], levels[1], levels[2], levels[3]) = (0, (float)first, (float)second, (float)(first + second));
        for (int j = 0; j < weights.Length; j++)
        {
            byte code = Codebook.Nearest(levels, weights[j]);
            changed |= code != codes[j];
            codes[j] = code;
        }
        return changed;
    }

    private struct RowWork : IParallelWork
    {
        public ReadOnlyMemory<float> Weight;
        public CodebookCodes Codes;
        public float[] Dequantized;
        public int Iterations;
        public ScaleRounding Rounding;

        public readonly void Execute(int start, int end)
        {
            for (int r = start; r < end; r++)
                for (int c = 0; c < Codes.Columns; c += Codes.GroupSize)
                {
                    int first = r * Codes.Columns + c, width = Math.Min(Codes.GroupSize, Codes.Columns - c);
                    Span<byte> codes = Codes.Codes.AsSpan(first, width);
                    Span<float> levels = Codes.Levels.AsSpan((int)Codes.Codebook(r, c), 4);
                    ReadOnlySpan<float> weights = Weight.Span.Slice(first, width);
                    (double alpha1, double alpha2) = Fit(weights, codes, Iterations);
                    Codebook.TwoPlanes(alpha1, alpha2, levels, Rounding);
                    for (int j = 0; j < width; j++)
                    {
                        codes[j] = Codebook.Nearest(levels, weights[j]);
                        Dequantized[first + j] = levels[codes[j]];
                    }
                }
        }
    }
}
