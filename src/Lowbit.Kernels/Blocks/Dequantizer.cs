using System;
using System.Runtime.Intrinsics;
using Lowbit.Core;

namespace Lowbit.Kernels.Blocks;

/// <summary>
/// Stored weights as floats, to the last bit what ggml gives. The scalar code is the contract; where it has a vector
/// twin, the twin does the same roundings in the same order: no fused multiply-add, no reciprocal. Only which NaN comes of two NaNs is left open.
/// </summary>
public static unsafe class Dequantizer
{
    /// <summary>Whether <see cref="ToFloat"/> takes this format.</summary>
    public static bool Supports(ElementFormat format) => format.IsReal();

    /// <summary>Rebuilds consecutive elements as floats, with vector instructions where they help. Allocates nothing.</summary>
    /// <param name="format">Format of the source.</param>
    /// <param name="source">First block, at any alignment; format.ByteCount(<paramref name="elements"/>) bytes are read.</param>
    /// <param name="elements">Number of elements, a whole number of blocks.</param>
    /// <param name="destination">Room for <paramref name="elements"/> floats.</param>
    /// <exception cref="LowbitException">The format does not hold real numbers or cannot be read by this version.</exception>
    /// <exception cref="ArgumentException"><paramref name="elements"/> is no whole number of blocks.</exception>
    public static void ToFloat(ElementFormat format, byte* source, long elements, float* destination)
    {
        if (!Vector256.IsHardwareAccelerated || !VectorBlocks.ToFloat(format, source, Blocks(format, elements), destination))
            ToFloatScalar(format, source, elements, destination);
    }

    /// <summary>The same as <see cref="ToFloat"/>, element by element.</summary>
    /// <inheritdoc cref="ToFloat"/>
    public static void ToFloatScalar(ElementFormat format, byte* source, long elements, float* destination)
    {
        long blocks = Blocks(format, elements);
        switch (format)
        {
            case ElementFormat.F32: Buffer.MemoryCopy(source, destination, elements * sizeof(float), elements * sizeof(float)); break;
            case ElementFormat.F16: PlainNumbers.F16((Half*)source, elements, destination); break;
            case ElementFormat.BF16: PlainNumbers.BF16((ushort*)source, elements, destination); break;
            case ElementFormat.F64: PlainNumbers.F64((double*)source, elements, destination); break;
            case ElementFormat.Q4_0: UniformBlocks.Q4_0((BlockQ4_0*)source, blocks, destination); break;
            case ElementFormat.Q4_1: UniformBlocks.Q4_1((BlockQ4_1*)source, blocks, destination); break;
            case ElementFormat.Q5_0: UniformBlocks.Q5_0((BlockQ5_0*)source, blocks, destination); break;
            case ElementFormat.Q5_1: UniformBlocks.Q5_1((BlockQ5_1*)source, blocks, destination); break;
            case ElementFormat.Q8_0: UniformBlocks.Q8_0((BlockQ8_0*)source, blocks, destination); break;
            case ElementFormat.Q2_K: SuperBlocks.Q2_K((BlockQ2_K*)source, blocks, destination); break;
            case ElementFormat.Q3_K: SuperBlocks.Q3_K((BlockQ3_K*)source, blocks, destination); break;
            case ElementFormat.Q4_K: SuperBlocks.Q4_K((BlockQ4_K*)source, blocks, destination); break;
            case ElementFormat.Q5_K: SuperBlocks.Q5_K((BlockQ5_K*)source, blocks, destination); break;
            case ElementFormat.Q6_K: SuperBlocks.Q6_K((BlockQ6_K*)source, blocks, destination); break;
            case ElementFormat.IQ4_NL: TableBlocks.IQ4_NL((BlockIQ4_NL*)source, blocks, destination); break;
            case ElementFormat.MXFP4: TableBlocks.MXFP4((BlockMXFP4*)source, blocks, destination); break;
            case ElementFormat.TQ1_0: TernaryBlocks.TQ1_0((BlockTQ1_0*)source, blocks, destination); break;
            case ElementFormat.TQ2_0: TernaryBlocks.TQ2_0((BlockTQ2_0*)source, blocks, destination); break;
            default: throw new InvalidOperationException($"{format} counts as real but has no dequantization");
        }
    }

    private static long Blocks(ElementFormat format, long elements)
    {
        if (!Supports(format))
            throw new LowbitException($"elements of format {format} cannot be turned into floats; weights must be F32, F16, BF16, F64 or a ggml block format that this version reads.");
        (long blocks, long rest) = Math.DivRem(elements, format.BlockLength());
        if (elements < 0 || rest != 0)
            throw new ArgumentException($"{elements} elements are no whole number of {format} blocks of {format.BlockLength()}", nameof(elements));
        return blocks;
    }
}
