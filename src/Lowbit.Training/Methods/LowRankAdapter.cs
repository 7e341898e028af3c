// LoRA: Low-Rank Adaptation of Large Language Models
// Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen; ICLR 2022, arXiv 2106.09685, section 4.1; code: microsoft/LoRA.
// QLoRA: Efficient Finetuning of Quantized LLMs
// Dettmers, Pagnoni, Holtzman, Zettlemoyer; NeurIPS 2023, arXiv 2305.14314: the same over a quantized weight that stays.
//
// Formula   ŵ = w + (α / r) · B·A,   A [r, in] random, B [out, r] zero at the start, w fixed
// Gradient  ∂A = (α / r) · Bᵀ·∂ŵ,   ∂B = (α / r) · ∂ŵ·Aᵀ
// Departs   no dropout on the inputs. The sum is formed once a step, so that a step costs as much as one with all weights
//           trained but the optimizer's state is that of A and B alone; w lies in memory as float32 whatever it was stored as.

using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>A fixed weight and a trained product of low rank.</summary>
public sealed unsafe class LowRankAdapter : IWeightForm
{
    private readonly float _factor;

    /// <summary>Begins with a product of zero.</summary>
    /// <param name="linear">The linear; its weight is not to be trained.</param>
    /// <param name="rank">r.</param>
    /// <param name="alpha">α.</param>
    /// <param name="seed">Decides A.</param>
    public LowRankAdapter(TrainableLinear linear, int rank, double alpha, int seed)
    {
        _factor = (float)(alpha / rank);
        Parameter a = new(linear.Name + ".lora_A.weight", rank, linear.Weight.Columns) { Trainable = true };
        Parameter b = new(linear.Name + ".lora_B.weight", linear.Weight.Rows, rank) { Trainable = true };
        ulong hash = (ulong)seed;
        foreach (char letter in linear.Name) hash = hash * 31 + letter;
        SplitMix64 random = new(hash);
        float range = 1 / MathF.Sqrt(linear.Weight.Columns); // uniform, as the reference's Kaiming initialisation with a = √5 comes out
        for (long i = 0; i < a.Count; i++) a.Value.Floats[i] = (float)(2 * random.NextDouble() - 1) * range;
        Parameters = [a, b];
    }

    /// <inheritdoc/>
    public IReadOnlyList<Parameter> Parameters { get; }

    private Parameter A => Parameters[0];

    private Parameter B => Parameters[1];

    /// <inheritdoc/>
    public void Forward(WorkerPool pool, Parameter weight, float* effective)
    {
        Rows.Copy(weight.Value.Floats, effective, weight.Count);
        Gemm.MultiplyAdd(pool, _factor, B.Value.Floats, B.Columns, A.Value.Floats, A.Columns, effective, weight.Columns, weight.Rows, weight.Columns, A.Rows);
    }

    /// <inheritdoc/>
    public void Backward(WorkerPool pool, Parameter weight, float* gradient)
    {
        int rank = A.Rows;
        Gemm.MultiplyLeftTransposedAdd(pool, B.Value.Floats, rank, gradient, weight.Columns, A.Gradient!.Floats, weight.Columns, rank, weight.Columns, weight.Rows);
        Gemm.MultiplyTransposed(pool, gradient, weight.Columns, A.Value.Floats, weight.Columns, B.Gradient!.Floats, rank, weight.Rows, rank, weight.Columns);
        Elementwise.Scale(_factor, A.Gradient.Span<float>(0, checked((int)A.Count)));
        Elementwise.Scale(_factor, B.Gradient.Span<float>(0, checked((int)B.Count)));
    }

    /// <inheritdoc/>
    public QuantizedMatrix? Quantize(Parameter weight) => null;
}
