using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Training.Operators;

/// <summary>
/// Gradients of RMSNorm and LayerNorm. With x̂ = (x − μ) · r, r = 1 / √(mean of (x − μ)² + ε), μ = 0 for RMSNorm,
/// y = w ∘ x̂ + b and g = w ∘ ∂y:
/// ∂x = r · (g − mean(g) − x̂ · mean(g ∘ x̂)), the middle term only for LayerNorm; ∂w = Σ_t ∂y ∘ x̂; ∂b = Σ_t ∂y.
/// </summary>
internal static unsafe class NormBackward
{
    private const int Slab = 32;

    /// <summary>The arguments of both passes; rows are [tokens, features].</summary>
    public struct Arguments
    {
        /// <summary>What the norm was applied to.</summary>
        public float* X;
        /// <summary>[features].</summary>
        public float* Weight;
        /// <summary>Gradient of the output.</summary>
        public float* OutputGradient;
        /// <summary>Gradient of the input; may be <see cref="OutputGradient"/>.</summary>
        public float* InputGradient;
        /// <summary>[features], added to; null where the weight is not trained.</summary>
        public float* WeightGradient;
        /// <summary>[features], added to; null where there is no bias or it is not trained.</summary>
        public float* BiasGradient;
        /// <summary>[2 · tokens], scratch for μ and r.</summary>
        public float* Statistics;
        public int Tokens, Features;
        public float Epsilon;
        /// <summary>LayerNorm, not RMSNorm.</summary>
        public bool Centered;
        /// <summary>Whether <see cref="InputGradient"/> is added to or overwritten.</summary>
        public bool Accumulate;
    }

    /// <summary>Computes all gradients. The weight's are taken first, so that the input's may overwrite the output's.</summary>
    public static void Run(WorkerPool pool, in Arguments arguments)
    {
        StatisticsWork statistics = new() { A = arguments };
        pool.Run(ref statistics, arguments.Tokens, 32);
        if (arguments.WeightGradient is not null)
        {
            WeightWork weight = new() { A = arguments };
            pool.Run(ref weight, (arguments.Features + Slab - 1) / Slab, 1);
        }
        if (arguments.BiasGradient is not null) ColumnSums.Accumulate(pool, arguments.OutputGradient, arguments.Tokens, arguments.Features, arguments.BiasGradient);
        InputWork input = new() { A = arguments };
        pool.Run(ref input, arguments.Tokens, 32);
    }

    private struct StatisticsWork : IParallelWork
    {
        public Arguments A;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                ReadOnlySpan<float> x = new(A.X + (long)t * A.Features, A.Features);
                float mean = 0;
                if (A.Centered)
                {
                    Vector<float> sums = default;
                    int i = 0;
                    for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count) sums += new Vector<float>(x[i..]);
                    mean = Vector.Sum(sums);
                    for (; i < x.Length; i++) mean += x[i];
                    mean /= A.Features;
                }
                Vector<float> squares = default, means = new(mean);
                int j = 0;
                for (; j <= x.Length - Vector<float>.Count; j += Vector<float>.Count)
                {
                    Vector<float> deviation = new Vector<float>(x[j..]) - means;
                    squares = Vector.MultiplyAddEstimate(deviation, deviation, squares);
                }
                float square = Vector.Sum(squares);
                for (; j < x.Length; j++) square += (x[j] - mean) * (x[j] - mean);
                A.Statistics[2L * t] = mean;
                A.Statistics[2L * t + 1] = 1 / MathF.Sqrt(square / A.Features + A.Epsilon);
            }
        }
    }

    private struct WeightWork : IParallelWork
    {
        public Arguments A;

        public readonly void Execute(int start, int end)
        {
            for (int first = start * Slab; first < Math.Min(A.Features, end * Slab); first += Slab)
            {
                int width = Math.Min(Slab, A.Features - first);
                float* sums = stackalloc float[Slab];
                new Span<float>(sums, Slab).Clear();
                for (int t = 0; t < A.Tokens; t++)
                {
                    float* x = A.X + (long)t * A.Features + first, dy = A.OutputGradient + (long)t * A.Features + first;
                    float mean = A.Statistics[2L * t], r = A.Statistics[2L * t + 1];
                    int i = 0;
                    for (; i <= width - Vector<float>.Count; i += Vector<float>.Count)
                    {
                        Vector<float> hat = (Vector.Load(x + i) - new Vector<float>(mean)) * r;
                        Vector.MultiplyAddEstimate(hat, Vector.Load(dy + i), Vector.Load(sums + i)).Store(sums + i);
                    }
                    for (; i < width; i++) sums[i] += (x[i] - mean) * r * dy[i];
                }
                for (int i = 0; i < width; i++) A.WeightGradient[first + i] += sums[i];
            }
        }
    }

    private struct InputWork : IParallelWork
    {
        public Arguments A;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++) Row(t);
        }

        private readonly void Row(int t)
        {
            int width = Vector<float>.Count, features = A.Features, i = 0;
            float* x = A.X + (long)t * features, dy = A.OutputGradient + (long)t * features, dx = A.InputGradient + (long)t * features;
            float mean = A.Statistics[2L * t], r = A.Statistics[2L * t + 1];
            Vector<float> sums = default, products = default, means = new(mean);
            for (; i <= features - width; i += width)
            {
                Vector<float> g = Vector.Load(A.Weight + i) * Vector.Load(dy + i);
                sums += g;
                products = Vector.MultiplyAddEstimate(g, (Vector.Load(x + i) - means) * r, products);
            }
            float sum = Vector.Sum(sums), product = Vector.Sum(products);
            for (; i < features; i++)
            {
                float g = A.Weight[i] * dy[i];
                sum += g;
                product += g * (x[i] - mean) * r;
            }
            sum = A.Centered ? sum / features : 0;
            product /= features;
            for (i = 0; i <= features - width; i += width)
            {
                Vector<float> hat = (Vector.Load(x + i) - means) * r;
                Vector<float> gradient = (Vector.Load(A.Weight + i) * Vector.Load(dy + i) - new Vector<float>(sum) - hat * product) * r;
                if (A.Accumulate) gradient += Vector.Load(dx + i);
                gradient.Store(dx + i);
            }
            for (; i < features; i++)
            {
                float gradient = (A.Weight[i] * dy[i] - sum - (x[i] - mean) * r * product) * r;
                dx[i] = A.Accumulate ? dx[i] + gradient : gradient;
            }
        }
    }
}
