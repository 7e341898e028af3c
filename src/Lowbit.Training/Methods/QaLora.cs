// QA-LoRA: Quantization-Aware Low-Rank Adaptation of Large Language Models
// Xu, Xie, Gu, Chen, Chang, Zhang, Chen, Zhang, Tian; ICLR 2024, arXiv 2309.14717, section 3.3; code: yuhuixu1993/qa-lora.
//
// Problem   an adapter over a quantized weight cannot be merged into it without rounding again. Where inputs are summed by the
//           groups of the quantizer, the adapter adds one number δ_og to all weights of a row and group, which is a shift of zero:
// Formula   s · (q − z) + δ = s · (q − (z − δ / s)),   δ_og = (α / r) · Σ_k B_ok A_kg
// Bits      codes stay as they are; zeros become real numbers, and with float32 scales beside them a group has 64 bits more.
// Departs   the codes come from round to nearest, where the paper has GPTQ's.

using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Methods;

/// <summary>Merging an adapter with grouped inputs into the zeros of a uniformly quantized weight.</summary>
public static class QaLora
{
    /// <summary>The merged weight, codes and steps as they were.</summary>
    /// <param name="linear">A linear over a packed uniform weight whose adapter sums inputs by the same groups.</param>
    /// <param name="pool">Threads.</param>
    /// <exception cref="LowbitException">Weight and adapter do not have the same groups.</exception>
    public static QuantizedMatrix Merge(TrainableLinear linear, WorkerPool pool)
    {
        if (linear.Adapter is not { } adapter || linear.Packed is not UniformMatrix packed || packed.Unpack() is not { GroupOfColumn: null } codes || codes.GroupSize != adapter.GroupSize)
            throw new LowbitException($"{linear.Name}: an adapter merges into zeros only over a uniform weight with its own groups of columns; use --method qa-lora on a float model.");
        float[] shift = adapter.Product(pool);
        UniformCodes merged = new(codes.Rows, codes.Columns, codes.Bits, codes.GroupSize, realZeros: true);
        codes.Codes.CopyTo(merged.Codes, 0);
        codes.Scales.CopyTo(merged.Scales, 0);
        for (int i = 0; i < shift.Length; i++) merged.RealZeros![i] = codes.Zero(i) - shift[i] / codes.Scales[i];
        float[] dequantized = new float[merged.Codes.Length];
        merged.Dequantize(dequantized);
        return new QuantizedMatrix(merged, dequantized, codes.Bits, ScalePrecision.Float32);
    }
}
