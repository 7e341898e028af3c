using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>The product of few tokens with a packed weight: each row is rebuilt as floats while it is needed.</summary>
internal static unsafe class RowProduct
{
    private const int RowsOfChunk = 32;

    [ThreadStatic]
    private static NativeBuffer? t_row;

    [ThreadStatic]
    private static NativeBuffer? t_rounded;

    /// <summary>output[t, r] = Σ_c x[t, c] · W[r, c] with the values of the activations, in 8-bit mode the rounded ones.</summary>
    public static void Multiply(WorkerPool pool, WeightMatrix weight, Activations activations, float* output)
    {
        float* x = activations.Mode == ActivationMode.EightBit ? Rounded(activations) : activations.Values;
        Multiply(pool, weight, x, activations.Tokens, output);
    }

    /// <summary>output[t, r] = Σ_c x[t, c] · W[r, c].</summary>
    public static void Multiply(WorkerPool pool, WeightMatrix weight, float* x, int tokens, float* output)
    {
        Work work = new() { Weight = weight, X = x, Tokens = tokens, Output = output };
        pool.Run(ref work, weight.Rows, RowsOfChunk);
    }

    private static float* Rounded(Activations activations)
    {
        int features = activations.Features;
        float* rounded = (float*)Scratch.Ensure(ref t_rounded, (long)activations.Tokens * features * sizeof(float));
        for (int t = 0; t < activations.Tokens; t++)
        {
            float* scales = activations.Scales + (long)t * activations.Blocks;
            sbyte* codes = activations.Codes + (long)t * activations.Blocks * Activations.BlockLength;
            for (int c = 0; c < features; c++) rounded[(long)t * features + c] = scales[c / Activations.BlockLength] * codes[c];
        }
        return rounded;
    }

    private struct Work : IParallelWork
    {
        public WeightMatrix Weight;
        public float* X, Output;
        public int Tokens;

        public readonly void Execute(int start, int end)
        {
            int columns = Weight.Columns;
            float* row = (float*)Scratch.Ensure(ref t_row, (long)columns * sizeof(float));
            for (int r = start; r < end; r++)
            {
                Weight.DequantizeRows(r, 1, row);
                for (int t = 0; t < Tokens; t++)
                    Output[(long)t * Weight.Rows + r] = VectorMath.Dot(new ReadOnlySpan<float>(row, columns), new ReadOnlySpan<float>(X + (long)t * columns, columns));
            }
        }
    }
}
