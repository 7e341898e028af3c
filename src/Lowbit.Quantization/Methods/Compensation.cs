using System;
using System.Runtime.Intrinsics;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>Says what becomes of a column.</summary>
internal unsafe interface IColumnQuantizer
{
    /// <summary>
    /// Rounds rows <paramref name="row"/> to <paramref name="row"/> + <see cref="WorkingCopy.Strip"/> of a column. Rows
    /// are independent; different ones come from different threads at once. Within the block, the working copy holds the
    /// columns from this one on as the blocks before left them, which is what GPTQ fits the grids of groups to.
    /// </summary>
    /// <param name="column">Which, in the order of the working copy.</param>
    /// <param name="row">First row.</param>
    /// <param name="weights">The weights of the strip, compensated for the errors of all columns before.</param>
    /// <param name="quantized">Where their levels go.</param>
    void Quantize(int column, int row, float* weights, float* quantized);
}

/// <summary>
/// The loop of optimal brain compression that GPTQ (arXiv 2210.17323, algorithm 1) and its descendants share. Columns
/// are rounded one after the other, and the error of each is spread over the columns not yet rounded so that the
/// layer's output changes least. With H⁻¹ = UᵀU:
/// <code>
/// e_j = (w_j − q_j) / U_jj,   w_k ← w_k − e_j · U_jk   for all k &gt; j
/// </code>
/// GPTAQ adds a feedback of the weights themselves (Gptaq.cs): w_k ← w_k − w_j · F_jk. Columns go in blocks of B. Within a
/// block a column collects the errors of the columns before it when its turn comes; the columns behind the block get all of
/// its errors in one product of matrices.
/// </summary>
/// <remarks>
/// Cost: in² · out multiplications, nearly all of them in <see cref="Gemm.MultiplyAdd"/>; memory: B · out floats. Rows do
/// not know of each other, so strips of rows go to the threads as they come, and results do not depend on their number.
/// </remarks>
internal static unsafe class Compensation
{
    private const int Strip = WorkingCopy.Strip;

    /// <summary>Replaces the weights by their levels.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="copy">The weights, columns in the order of <paramref name="factor"/>.</param>
    /// <param name="factor">U of the damped Hessian.</param>
    /// <param name="blockSize">Columns of a block; the last block may be shorter.</param>
    /// <param name="quantizer">What becomes of a column.</param>
    /// <param name="cancellation">Stops the work between two blocks.</param>
    /// <param name="feedback">Fᵀ, [columns, columns], lower triangular without the diagonal, in the order of the copy; null for none.</param>
    public static void Run<TQuantizer>(
        WorkerPool pool, WorkingCopy copy, InverseFactor factor, int blockSize, TQuantizer quantizer, CancellationToken cancellation, float* feedback = null)
        where TQuantizer : IColumnQuantizer
    {
        int columns = copy.Columns, stride = copy.Stride;
        long blockBytes = (long)Math.Min(blockSize, columns) * stride * sizeof(float);
        using var errors = new NativeBuffer(blockBytes);
        using var compensated = new NativeBuffer(feedback is null ? 0 : blockBytes);
        for (int start = 0; start < columns; start += blockSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(columns, start + blockSize);
            var block = new BlockWork<TQuantizer>
            {
                Weights = copy.Weights,
                Errors = errors.Floats,
                Stride = stride,
                Compensated = feedback is null ? null : compensated.Floats,
                UTransposed = factor.Transposed,
                FeedbackTransposed = feedback,
                Columns = columns,
                Start = start,
                End = end,
                Quantizer = quantizer,
            };
            pool.Run(ref block, stride / Strip, 1);
            Gemm.MultiplyAdd(
                pool, -1, factor.Transposed + (long)end * columns + start, columns, errors.Floats, stride,
                copy.Weights + (long)end * stride, stride, columns - end, stride, end - start);
            if (feedback is null) continue;
            Gemm.MultiplyAdd(
                pool, -1, feedback + (long)end * columns + start, columns, compensated.Floats, stride,
                copy.Weights + (long)end * stride, stride, columns - end, stride, end - start);
        }
    }

    private struct BlockWork<TQuantizer> : IParallelWork where TQuantizer : IColumnQuantizer
    {
        public float* Weights, Errors, Compensated, UTransposed, FeedbackTransposed;
        public int Stride, Columns, Start, End;
        public TQuantizer Quantizer;

        public void Execute(int start, int end)
        {
            float* compensated = stackalloc float[Strip];
            for (int row = start * Strip; row < end * Strip; row += Strip)
                for (int j = Start; j < End; j++)
                {
                    float* w = Weights + (long)j * Stride + row;
                    float* u = UTransposed + (long)j * Columns + Start; // U[Start.., j]
                    float* e = Errors + row;
                    Collect(w, e, Stride, u, j - Start, compensated);
                    if (Compensated is not null)
                    {
                        Collect(compensated, Compensated + row, Stride, FeedbackTransposed + (long)j * Columns + Start, j - Start, compensated);
                        Buffer.MemoryCopy(compensated, Compensated + (long)(j - Start) * Stride + row, Strip * sizeof(float), Strip * sizeof(float));
                    }
                    Quantizer.Quantize(j, row, compensated, w);
                    Vector256<float> diagonal = Vector256.Create(u[j - Start]);
                    float* error = e + (long)(j - Start) * Stride;
                    for (int r = 0; r < Strip; r += Vector256<float>.Count)
                        ((Vector256.Load(compensated + r) - Vector256.Load(w + r)) / diagonal).Store(error + r);
                }
        }

        // compensated = w − Σ_i e_i · U_ij over the columns i of the block before j, in their order.
        private static void Collect(float* w, float* e, int stride, float* u, int count, float* compensated)
        {
            Vector256<float> sum0 = Vector256.Load(w), sum1 = Vector256.Load(w + 8);
            Vector256<float> sum2 = Vector256.Load(w + 16), sum3 = Vector256.Load(w + 24);
            for (int i = 0; i < count; i++, e += stride)
            {
                Vector256<float> factor = Vector256.Create(-u[i]);
                sum0 = Vector256.FusedMultiplyAdd(factor, Vector256.Load(e), sum0);
                sum1 = Vector256.FusedMultiplyAdd(factor, Vector256.Load(e + 8), sum1);
                sum2 = Vector256.FusedMultiplyAdd(factor, Vector256.Load(e + 16), sum2);
                sum3 = Vector256.FusedMultiplyAdd(factor, Vector256.Load(e + 24), sum3);
            }
            sum0.Store(compensated);
            sum1.Store(compensated + 8);
            sum2.Store(compensated + 16);
            sum3.Store(compensated + 24);
        }
    }
}
