using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>The product of few tokens with a packed weight: each row is rebuilt as floats while it is needed.</summary>
internal static unsafe class RowProduct
{
    private const int RowsOfChunk = 32;

    [ThreadStatic]
    private static NativeBuffer? t_row;

    /// <summary>output[t, r] = Σ_c x[t, c] · W[r, c] with the values of the activations, in 8-bit mode the rounded ones.</summary>
    public static void Multiply(WorkerPool pool, WeightMatrix weight, Activations activations, float* output)
    {
        Work work = new() { Weight = weight, Activations = activations, Output = output };
        pool.Run(ref work, weight.Rows, RowsOfChunk);
    }

    private struct Work : IParallelWork
    {
        public WeightMatrix Weight;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            int columns = Weight.Columns;
            float* row = (float*)Scratch.Ensure(ref t_row, (long)columns * sizeof(float));
            for (int r = start; r < end; r++)
            {
                Weight.DequantizeRows(r, 1, row);
                for (int t = 0; t < Activations.Tokens; t++)
                {
                    Output[(long)t * Weight.Rows + r] = Activations.Mode == ActivationMode.EightBit
                        ? RoundedDot(row, t)
                        : VectorMath.Dot(new ReadOnlySpan<float>(row, columns), new ReadOnlySpan<float>(Activations.Values + (long)t * columns, columns));
                }
            }
        }

        private readonly float RoundedDot(float* row, int token)
        {
            const int Block = Activations.BlockLength;
            float* values = stackalloc float[Block];
            float sum = 0;
            for (int b = 0; b < Activations.Blocks; b++)
            {
                long block = (long)token * Activations.Blocks + b;
                int count = Math.Min(Block, Weight.Columns - b * Block);
                for (int i = 0; i < count; i++) values[i] = Activations.Codes[block * Block + i];
                sum += Activations.Scales[block] * VectorMath.Dot(new ReadOnlySpan<float>(row + b * Block, count), new ReadOnlySpan<float>(values, count));
            }
            return sum;
        }
    }
}
