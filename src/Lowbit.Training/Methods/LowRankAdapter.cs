// LoRA: Low-Rank Adaptation of Large Language Models
// Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen; ICLR 2022, arXiv 2106.09685, section 4.1; code: microsoft/LoRA.
// QLoRA: Efficient Finetuning of Quantized LLMs
// Dettmers, Pagnoni, Holtzman, Zettlemoyer; NeurIPS 2023, arXiv 2305.14314, section 3: the same over a weight that stays packed.
// QA-LoRA: Quantization-Aware Low-Rank Adaptation of Large Language Models
// Xu, Xie, Gu, Chen, Chang, Zhang, Chen, Zhang, Tian; ICLR 2024, arXiv 2309.14717, section 3.3: inputs are summed by group first.
//
// Formula   y = x·Wᵀ + s · P(x)·Aᵀ·Bᵀ,   s = α / r,   A [r, in / L] random, B [out, r] zero at the start, W fixed;
//           P sums L neighbouring inputs (QA-LoRA: the groups of the quantizer), L = 1 for LoRA and QLoRA
// Gradient  u = s · P(x)·Aᵀ,  v = s · ∂y·B:   ∂B = ∂yᵀ·u,   ∂A = vᵀ·P(x),   ∂x += Pᵀ(v·A)
// Departs   no dropout on the inputs. B lies transposed, [r, out].

using System;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>A trained product of low rank beside a fixed weight.</summary>
public sealed unsafe class LowRankAdapter : IDisposable
{
    [ThreadStatic]
    private static NativeBuffer? t_scratch;

    private readonly int _inFeatures;

    /// <summary>Begins with a product of zero.</summary>
    /// <param name="linear">The linear; its weight is not to be trained.</param>
    /// <param name="rank">r.</param>
    /// <param name="alpha">α.</param>
    /// <param name="seed">Decides A.</param>
    /// <param name="groupSize">L, inputs that are summed before the product.</param>
    public LowRankAdapter(TrainableLinear linear, int rank, double alpha, int seed, int groupSize = 1)
    {
        _inFeatures = linear.Weight.Columns;
        Factor = (float)(alpha / rank);
        GroupSize = groupSize;
        A = new Parameter(linear.Name + ".lora_A.weight", rank, (_inFeatures + groupSize - 1) / groupSize) { Trainable = true };
        B = new Parameter(linear.Name + ".lora_B.weight", rank, linear.Weight.Rows) { Trainable = true };
        ulong hash = (ulong)seed;
        foreach (char letter in linear.Name) hash = hash * 31 + letter;
        SplitMix64 random = new(hash);
        float range = 1 / MathF.Sqrt(_inFeatures); // uniform, as the reference's Kaiming initialisation with a = √5 comes out
        for (long i = 0; i < A.Count; i++) A.Value.Floats[i] = (float)(2 * random.NextDouble() - 1) * range;
    }

    /// <summary>s.</summary>
    public float Factor { get; }

    /// <summary>L.</summary>
    public int GroupSize { get; }

    /// <summary>A, [rank, inFeatures / L].</summary>
    public Parameter A { get; }

    /// <summary>B transposed, [rank, outFeatures].</summary>
    public Parameter B { get; }

    /// <summary>Begins with a product that makes up for the error of a quantizer.</summary>
    /// <exception cref="LowbitException">The inputs are summed by group.</exception>
    public void Begin(AdapterStart start)
    {
        if (GroupSize != 1) throw new LowbitException("a start that makes up for an error is for adapters whose inputs are not summed by group.");
        int outFeatures = B.Columns;
        start.Right.AsSpan().CopyTo(A.Value.Span<float>(0, start.Right.Length));
        for (int k = 0; k < start.Rank; k++)
            for (int r = 0; r < outFeatures; r++) B.Value.Floats[k * outFeatures + r] = start.Left[r * start.Rank + k] / Factor;
    }

    /// <summary>y += s · P(x)·Aᵀ·Bᵀ.</summary>
    internal void Forward(WorkerPool pool, float* x, int tokens, float* y)
    {
        int rank = A.Rows, groups = A.Columns, outFeatures = B.Columns;
        float* u = (float*)Scratch.Ensure(ref t_scratch, (long)tokens * (rank + groups) * sizeof(float));
        Gemm.MultiplyTransposed(pool, Pool(x, tokens, u + (long)tokens * rank), groups, A.Value.Floats, groups, u, rank, tokens, rank, groups);
        Gemm.MultiplyAdd(pool, Factor, u, rank, B.Value.Floats, outFeatures, y, outFeatures, tokens, outFeatures, rank);
    }

    /// <summary>dx += s · Pᵀ(dy·B·A); the gradients of A and B are added to theirs.</summary>
    internal void Backward(WorkerPool pool, float* x, float* dy, int tokens, float* dx)
    {
        int rank = A.Rows, groups = A.Columns, outFeatures = B.Columns;
        float* u = (float*)Scratch.Ensure(ref t_scratch, (long)tokens * (2 * rank + 2 * groups) * sizeof(float));
        float* v = u + (long)tokens * rank, pooled = v + (long)tokens * rank, dPooled = pooled + (long)tokens * groups;
        pooled = Pool(x, tokens, pooled);
        Gemm.MultiplyTransposed(pool, pooled, groups, A.Value.Floats, groups, u, rank, tokens, rank, groups);
        Gemm.MultiplyTransposed(pool, dy, outFeatures, B.Value.Floats, outFeatures, v, rank, tokens, rank, outFeatures);
        Elementwise.Scale(Factor, new Span<float>(u, checked(2 * tokens * rank)));
        Gemm.MultiplyLeftTransposedAdd(pool, u, rank, dy, outFeatures, B.Gradient!.Floats, outFeatures, rank, outFeatures, tokens);
        Gemm.MultiplyLeftTransposedAdd(pool, v, rank, pooled, groups, A.Gradient!.Floats, groups, rank, groups, tokens);
        if (GroupSize == 1)
        {
            Gemm.MultiplyAdd(pool, 1, v, rank, A.Value.Floats, groups, dx, groups, tokens, groups, rank);
            return;
        }
        new Span<float>(dPooled, checked(tokens * groups)).Clear();
        Gemm.MultiplyAdd(pool, 1, v, rank, A.Value.Floats, groups, dPooled, groups, tokens, groups, rank);
        for (int t = 0; t < tokens; t++)
            for (int c = 0; c < _inFeatures; c++) dx[(long)t * _inFeatures + c] += dPooled[(long)t * groups + c / GroupSize];
    }

    /// <summary>s · B·A, [outFeatures, inFeatures / L]: what the adapter adds to every weight of a row and group.</summary>
    internal float[] Product(WorkerPool pool)
    {
        float[] product = new float[checked(B.Columns * A.Columns)];
        using NativeBuffer sum = new((long)product.Length * sizeof(float));
        Gemm.MultiplyLeftTransposedAdd(pool, B.Value.Floats, B.Columns, A.Value.Floats, A.Columns, sum.Floats, A.Columns, B.Columns, A.Columns, A.Rows);
        sum.Span<float>(0, product.Length).CopyTo(product);
        Elementwise.Scale(Factor, product);
        return product;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
    }

    // P(x), in the given memory unless it is x itself.
    private float* Pool(float* x, int tokens, float* pooled)
    {
        if (GroupSize == 1) return x;
        new Span<float>(pooled, checked(tokens * A.Columns)).Clear();
        for (int t = 0; t < tokens; t++)
            for (int c = 0; c < _inFeatures; c++) pooled[(long)t * A.Columns + c / GroupSize] += x[(long)t * _inFeatures + c];
        return pooled;
    }
}
