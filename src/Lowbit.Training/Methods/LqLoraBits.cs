// LQ-LoRA: Low-rank Plus Quantized Matrix Decomposition for Efficient Language Model Finetuning
// Guo, Greengard, Xing, Kim; ICLR 2024, arXiv 2311.12023, section 3.2; code: HanGuo97/lq-lora.
//
// Problem   min over configurations c_i, one a matrix, of Σ ‖√F_i ∘ (W_i − Q_i(c_i) − L₁·L₂)‖²
//           under Σ bytes of Q_i(c_i) ≤ budget
// Solution  every matrix is taken apart with every configuration (LqLora.cs) and the error is written down; which one each
//           matrix gets is an integer program.
// Symbols   paper: c, B_Q     here: Candidates, targetBits · weights
// Cost      a decomposition a matrix and candidate.
// Departs   the program is solved by the dynamic programming of quantize --target-bits instead of a general solver; uniform grids of
//           2, 3, 6 and 8 bits beside NF4, where the paper has NormalFloat of 2, 3, 4 and 8 bits with many sizes of groups.

using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;

namespace Lowbit.Training.Methods;

/// <summary>Gives every matrix the grid with which quantized parts and adapters of all of them are nearest to the weights at a size.</summary>
public static class LqLoraBits
{
    private const int GroupSize = 64;

    /// <summary>Between what is chosen, from few bits to many.</summary>
    public static ImmutableArray<MethodOptions> Candidates { get; } = [Uniform(2), Uniform(3), new TableRtnOptions { GroupSize = GroupSize, DoubleQuantization = true }, Uniform(6), Uniform(8)];

    /// <summary>Takes a weight apart with every candidate.</summary>
    /// <param name="layer">The weight.</param>
    /// <param name="rank">r.</param>
    /// <param name="rounds">Most alternations, at least 1.</param>
    /// <param name="weights">How much errors count; null where all count alike.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="cancellation">Stops the work within a round.</param>
    /// <returns>Packed bits and error of every candidate.</returns>
    public static LinearSensitivity Measure(LinearLayer layer, int rank, int rounds, SeparableWeights? weights, WorkerPool pool, CancellationToken cancellation = default)
    {
        double[] bits = new double[Candidates.Length], errors = new double[bits.Length];
        for (int c = 0; c < bits.Length; c++)
        {
            (AdapterStart start, errors[c]) = LqLora.Fit(layer, Candidates[c], rank, rounds, weights, pool, cancellation);
            using PackedWeight packed = new(layer.Name, start.Quantized);
            bits[c] = packed.Bytes * 8.0 / layer.Weight.Length;
        }
        return new LinearSensitivity(layer.Name, layer.Weight.Length, bits, errors, 0, errors[0]); // the cost is the error itself
    }

    /// <summary>Chooses.</summary>
    /// <param name="linears">What was measured.</param>
    /// <param name="targetBits">Bits per weight over all of them, scales included and adapters not.</param>
    /// <returns>The grid of every linear, by its name.</returns>
    /// <exception cref="LowbitException">Not even the smallest candidates are that small.</exception>
    public static IReadOnlyDictionary<string, MethodOptions> Choose(IReadOnlyList<LinearSensitivity> linears, double targetBits) =>
        linears.Zip(BitAllocation.Choose(linears, targetBits)).ToDictionary(pair => pair.First.Name, pair => Candidates[pair.Second]);

    private static RtnOptions Uniform(int bits) => new() { Bits = bits, GroupSize = GroupSize, ScalePrecision = ScalePrecision.Float16 };
}
