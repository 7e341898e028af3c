using System;
using System.Runtime.Intrinsics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Says what becomes of a block of columns.</summary>
internal unsafe interface IBlockQuantizer
{
    /// <summary>Quantizes the columns <paramref name="start"/> to <paramref name="start"/> + <paramref name="width"/>.</summary>
    /// <param name="start">First column.</param>
    /// <param name="width">Columns.</param>
    /// <param name="weights">[width, stride], compensated for the errors of the blocks before; columns lie in one piece.</param>
    /// <param name="levels">[width, stride], where the levels of all rows go; rows of padding stay as they are, zero.</param>
    void Quantize(int start, int width, float* weights, float* levels);
}

/// <summary>
/// The loop that BiLLM (arXiv 2402.04291) and its descendants share: a block of columns is quantized at once, without
/// compensation among its columns, and the columns behind it take its errors. With H⁻¹ = UᵀU and a block B
/// <code>
/// e_j = (w_j − ŵ_j) / U_jj   for j in B,   w_k ← w_k − Σ_j e_j · U_jk   for all k behind B
/// </code>
/// </summary>
/// <remarks>
/// The e of GPTQ (Compensation.cs) contain what the columns before in the block passed on; these do not, so that the step
/// behind the block is not the best one, which has the whole triangle U_BB in place of its diagonal. The methods that use
/// this loop were published and measured with it.
/// </remarks>
internal static unsafe class BlockCompensation
{
    /// <summary>Quantizes all columns, block after block.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="copy">The weights in their natural order; compensated in place.</param>
    /// <param name="factor">U of the damped Hessian.</param>
    /// <param name="blockSize">Columns of a block; the last block may be shorter.</param>
    /// <param name="quantizer">What becomes of a block.</param>
    /// <param name="cancellation">Stops the work between two blocks.</param>
    public static void Run(WorkerPool pool, WorkingCopy copy, InverseFactor factor, int blockSize, IBlockQuantizer quantizer, CancellationToken cancellation)
    {
        int columns = copy.Columns, stride = copy.Stride;
        using var errors = new NativeBuffer((long)Math.Min(blockSize, columns) * stride * sizeof(float));
        for (int start = 0; start < columns; start += blockSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int width = Math.Min(blockSize, columns - start), end = start + width;
            float* weights = copy.Weights + (long)start * stride;
            quantizer.Quantize(start, width, weights, errors.Floats);
            for (int j = 0; j < width; j++)
            {
                Vector256<float> diagonal = Vector256.Create(factor[start + j, start + j]);
                for (long i = (long)j * stride; i < (long)(j + 1) * stride; i += Vector256<float>.Count)
                    ((Vector256.Load(weights + i) - Vector256.Load(errors.Floats + i)) / diagonal).Store(errors.Floats + i);
            }
            Gemm.MultiplyAdd(
                pool, -1, factor.Transposed + (long)end * columns + start, columns, errors.Floats, stride,
                copy.Weights + (long)end * stride, stride, columns - end, stride, width);
        }
    }
}
