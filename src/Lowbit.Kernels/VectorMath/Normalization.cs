using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Normalization of every row of a matrix; the destination may be the input.</summary>
public static unsafe class Normalization
{
    private const int Grain = 8;

    /// <summary>destination[t, i] = weight[i] · x[t, i] / √(mean of x[t]² + epsilon).</summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="x">[tokens, features].</param>
    /// <param name="weight">[features], or null for all ones.</param>
    /// <param name="destination">[tokens, features].</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="features">Elements of a row.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static void RmsNorm(WorkerPool pool, float* x, float* weight, float* destination, int tokens, int features, float epsilon)
    {
        Work work = new() { X = x, Weight = weight, Destination = destination, Features = features, Epsilon = epsilon };
        pool.Run(ref work, tokens, Grain);
    }

    /// <summary>destination[t, i] = weight[i] · (x[t, i] − mean) / √(variance + epsilon) + bias[i].</summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="x">[tokens, features].</param>
    /// <param name="weight">[features], or null for all ones.</param>
    /// <param name="bias">[features], or null for all zeros.</param>
    /// <param name="destination">[tokens, features].</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="features">Elements of a row.</param>
    /// <param name="epsilon">Added to the variance.</param>
    public static void LayerNorm(
        WorkerPool pool, float* x, float* weight, float* bias, float* destination, int tokens, int features, float epsilon)
    {
        Work work = new()
        {
            X = x,
            Weight = weight,
            Bias = bias,
            Destination = destination,
            Features = features,
            Epsilon = epsilon,
            Centered = true,
        };
        pool.Run(ref work, tokens, Grain);
    }

    private struct Work : IParallelWork
    {
        public float* X, Weight, Bias, Destination;
        public int Features;
        public float Epsilon;
        public bool Centered;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++) Row(X + (long)t * Features, Destination + (long)t * Features);
        }

        private readonly void Row(float* x, float* destination)
        {
            int width = Vector<float>.Count;
            float mean = Centered ? Sum(x, Features) / Features : 0;
            float scale = 1 / MathF.Sqrt(SumOfSquares(x, mean, Features) / Features + Epsilon);
            int i = 0;
            for (; i <= Features - width; i += width)
            {
                Vector<float> value = (Vector.Load(x + i) - new Vector<float>(mean)) * scale;
                if (Weight is not null) value *= Vector.Load(Weight + i);
                if (Bias is not null) value += Vector.Load(Bias + i);
                value.Store(destination + i);
            }
            for (; i < Features; i++)
            {
                float value = (x[i] - mean) * scale;
                if (Weight is not null) value *= Weight[i];
                if (Bias is not null) value += Bias[i];
                destination[i] = value;
            }
        }

        private static float Sum(float* x, int count)
        {
            Vector<float> sums = default;
            int i = 0;
            for (; i <= count - Vector<float>.Count; i += Vector<float>.Count) sums += Vector.Load(x + i);
            float sum = Vector.Sum(sums);
            for (; i < count; i++) sum += x[i];
            return sum;
        }

        private static float SumOfSquares(float* x, float mean, int count)
        {
            Vector<float> sums = default, means = new(mean);
            int i = 0;
            for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> deviation = Vector.Load(x + i) - means;
                sums = Vector.MultiplyAddEstimate(deviation, deviation, sums);
            }
            float sum = Vector.Sum(sums);
            for (; i < count; i++) sum += (x[i] - mean) * (x[i] - mean);
            return sum;
        }
    }
}
