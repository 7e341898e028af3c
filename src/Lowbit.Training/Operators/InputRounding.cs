using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Training.Operators;

/// <summary>
/// Inputs of linears in 8 bits as BitNet b1.58 has them (arXiv 2402.17764, section 2): x̂ = round(x · s) / s with
/// s = 127 / max(max |x|, 1e-5) of the token. The gradient goes straight through.
/// </summary>
internal static unsafe class InputRounding
{
    private const float SmallestLargest = 1e-5f;

    [ThreadStatic]
    private static NativeBuffer? t_rounded;

    /// <summary>The rounded inputs, valid until the next call on this thread.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="x">[tokens, features].</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="features">Columns.</param>
    public static float* Run(WorkerPool pool, float* x, int tokens, int features)
    {
        float* rounded = (float*)Scratch.Ensure(ref t_rounded, (long)tokens * features * sizeof(float));
        Work work = new() { From = x, To = rounded, Features = features };
        pool.Run(ref work, tokens, 16);
        return rounded;
    }

    private struct Work : IParallelWork
    {
        public float* From, To;
        public int Features;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                ReadOnlySpan<float> x = new(From + (long)t * Features, Features);
                Span<float> y = new(To + (long)t * Features, Features);
                float largest = SmallestLargest;
                foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
                float scale = 127 / largest;
                for (int i = 0; i < y.Length; i++) y[i] = MathF.Round(x[i] * scale) / scale;
            }
        }
    }
}
