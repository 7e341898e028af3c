// GPTAQ: Efficient Finetuning-Free Quantization for Asymmetric Calibration
// Li, Yin, Lee, Xiao, Panda; arXiv 2504.02692, section 4; code: Intelligent-Computing-Lab-Yale/GPTAQ, fake_quant/gptaq_utils.py.
//
// Problem   GPTQ comes near to what the float weight makes of the quantized model's inputs X, which are wrong themselves; GPTAQ
//           comes near to what it makes of the float model's inputs X̃:
//             min over Ŵ of ‖X̃ Wᵀ − X Ŵᵀ‖²
//           So each column, when it is rounded, also hands on what its input's own error asks of the columns behind.
// Symbols   paper    here               meaning
//           X, X̃     Hessian            inputs in the quantized and in the float model
//           ΔX Xᵀ    Hessian.Drift      D = 2/n · (X̃ − X)ᵀ X, symmetric only by chance
//           L        InverseFactor      U = Lᵀ with (H + λ)⁻¹ = UᵀU
//           P        Feedback           ((D Uᵀ) ⊙ M_U) U, M_U the part right of the diagonal
//           α        Strength           0.25 as in the repository; the paper has 1
// Step      w_k ← w_k − e · U_jk + α · w_j · P_jk  for all columns k behind j, e = (w_j − q_j) / U_jj; all else is GPTQ (Gptq.cs).
// Cost      GPTQ's and 3 · in³ · 2 for P of every layer; calibration runs the float model beside the quantized one.
// Departs   from the repository: columns behind the block also get w_j before it was rounded, as the formula has it; there
//           w_j has become q_j by then. All linears of a block are calibrated in one pass with the inputs that come from the
//           quantized blocks before; there each part of a block sees the parts before it quantized.

using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Settings of GPTAQ: those of GPTQ and the strength of the correction.</summary>
public sealed record GptaqOptions : CompensatingOptions
{
    /// <summary>α; 0 is GPTQ.</summary>
    public double Strength { get; init; } = 0.25;

    /// <inheritdoc/>
    public override bool NeedsFloatInputs => true;

    internal static GptaqOptions Read(MethodSettings settings)
    {
        var defaults = new GptaqOptions();
        return defaults.With<GptaqOptions>(settings) with { Strength = settings.Number("strength", defaults.Strength) };
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Require(Strength is >= 0 and <= 1, "--strength", Strength, "0 to 1");
    }

    /// <inheritdoc/>
    protected override QuantizedMatrix Run(LinearLayer layer, WorkerPool pool, CancellationToken cancellation) =>
        Gptaq.Quantize(layer, this, pool, cancellation);
}

/// <summary>GPTAQ.</summary>
public static unsafe class Gptaq
{
    /// <summary>Quantizes one weight; see <see cref="MethodOptions.Quantize"/>.</summary>
    internal static QuantizedMatrix Quantize(LinearLayer layer, GptaqOptions options, WorkerPool pool, CancellationToken cancellation)
    {
        Hessian hessian = layer.RequireHessian("gptaq");
        if (!hessian.HasDrift || options.Strength == 0) return Gptq.Quantize(layer, options, null, pool, cancellation); // the inputs of both models count as equal
        InverseFactor factor = hessian.Factor(pool, options.Damping, options.ActivationOrder, cancellation);
        using NativeBuffer feedback = Feedback(pool, hessian, factor, options.ActivationOrder ? hessian.ActivationOrder() : null, options.Strength);
        cancellation.ThrowIfCancellationRequested();
        return Gptq.Quantize(layer, options, feedback.Floats, pool, cancellation);
    }

    // −α · Pᵀ = −α · Uᵀ ((D Uᵀ) ⊙ M_U)ᵀ, [columns, columns].
    private static NativeBuffer Feedback(WorkerPool pool, Hessian hessian, InverseFactor factor, int[]? order, double strength)
    {
        int n = hessian.Features;
        using var drift = new NativeBuffer((long)n * n * sizeof(float));
        using var product = new NativeBuffer((long)n * n * sizeof(float));
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) drift.Floats[(long)i * n + j] = order is null ? hessian.Drift(i, j) : hessian.Drift(order[i], order[j]);
        Gemm.MultiplyAdd(pool, (float)-strength, drift.Floats, n, factor.Transposed, n, product.Floats, n, n, n, n);
        for (int i = 0; i < n; i++) product.Span<float>((long)i * n, i + 1).Clear();
        var feedback = new NativeBuffer((long)n * n * sizeof(float));
        Gemm.MultiplyTransposed(pool, factor.Transposed, n, product.Floats, n, feedback.Floats, n, n, n, n);
        return feedback;
    }
}
