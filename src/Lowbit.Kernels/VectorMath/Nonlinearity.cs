using System;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>The function between the two linear maps of a feed-forward layer.</summary>
public enum NonlinearityKind
{
    /// <summary>x / (1 + e^−x), also called swish.</summary>
    Silu,
    /// <summary>x · Φ(x) with the exact normal distribution function, (1 + erf(x / √2)) / 2.</summary>
    Gelu,
    /// <summary>x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.</summary>
    GeluTanh,
    /// <summary>max(x, 0).</summary>
    Relu,
    /// <summary>max(x, 0)².</summary>
    ReluSquared,
}

/// <summary>Activation functions, alone and times a second input. Absolute errors are below 3e-7 · max(1, |x|).</summary>
public static unsafe class Nonlinearity
{
    private const int Grain = 4096;

    /// <summary>destination[i] = f(x[i]); destination may be x.</summary>
    /// <param name="pool">Threads that share the elements.</param>
    /// <param name="kind">The function.</param>
    /// <param name="x">[count].</param>
    /// <param name="destination">[count].</param>
    /// <param name="count">Number of elements.</param>
    public static void Apply(WorkerPool pool, NonlinearityKind kind, float* x, float* destination, int count) =>
        Dispatch(pool, kind, x, null, destination, count);

    /// <summary>destination[i] = f(gate[i]) · up[i]; destination may be gate or up.</summary>
    /// <param name="pool">Threads that share the elements.</param>
    /// <param name="kind">The function.</param>
    /// <param name="gate">[count], what the function is applied to.</param>
    /// <param name="up">[count], what its value is multiplied by.</param>
    /// <param name="destination">[count].</param>
    /// <param name="count">Number of elements.</param>
    public static void ApplyGated(WorkerPool pool, NonlinearityKind kind, float* gate, float* up, float* destination, int count) =>
        Dispatch(pool, kind, gate, up, destination, count);

    private static void Dispatch(WorkerPool pool, NonlinearityKind kind, float* x, float* up, float* destination, int count)
    {
        switch (kind)
        {
            case NonlinearityKind.Silu: Run<Silu>(pool, x, up, destination, count); break;
            case NonlinearityKind.Gelu: Run<Gelu>(pool, x, up, destination, count); break;
            case NonlinearityKind.GeluTanh: Run<GeluTanh>(pool, x, up, destination, count); break;
            case NonlinearityKind.Relu: Run<Relu>(pool, x, up, destination, count); break;
            case NonlinearityKind.ReluSquared: Run<ReluSquared>(pool, x, up, destination, count); break;
            default: throw new ArgumentOutOfRangeException(nameof(kind), kind, null);
        }
    }

    private static void Run<TFunction>(WorkerPool pool, float* x, float* up, float* destination, int count) where TFunction : IFunction
    {
        Work<TFunction> work = new() { X = x, Up = up, Destination = destination };
        pool.Run(ref work, count, Grain);
    }

    private interface IFunction
    {
        static abstract Vector<float> Of(Vector<float> x);
    }

    private readonly struct Silu : IFunction
    {
        public static Vector<float> Of(Vector<float> x) => x / (Vector<float>.One + VectorMath.Exp(-x));
    }

    private readonly struct Gelu : IFunction
    {
        // Abramowitz and Stegun 7.1.26: erfc z = (a1 t + ... + a5 t^5) e^(−z²), t = 1 / (1 + p z), for z ≥ 0, to 1.5e-7.
        public static Vector<float> Of(Vector<float> x)
        {
            Vector<float> z = Vector.Abs(x) * new Vector<float>(0.70710678f);
            Vector<float> t = Vector<float>.One / Vector.MultiplyAddEstimate(z, new Vector<float>(0.3275911f), Vector<float>.One);
            Vector<float> sum = new(1.061405429f);
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(-1.453152027f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(1.421413741f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(-0.284496736f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(0.254829592f));
            // Φ(−|x|) = erfc(|x| / √2) / 2, and Φ(x) = 1 − Φ(−x).
            Vector<float> tail = new Vector<float>(0.5f) * sum * t * VectorMath.Exp(-z * z);
            return x * Vector.ConditionalSelect(Vector.LessThan(x, default), tail, Vector<float>.One - tail);
        }
    }

    private readonly struct GeluTanh : IFunction
    {
        // (1 + tanh u) / 2 = 1 / (1 + e^−2u)
        public static Vector<float> Of(Vector<float> x) =>
            x / (Vector<float>.One + VectorMath.Exp(new Vector<float>(-1.59576912f) * (x + new Vector<float>(0.044715f) * x * x * x)));
    }

    private readonly struct Relu : IFunction
    {
        public static Vector<float> Of(Vector<float> x) => Vector.ConditionalSelect(Vector.LessThan(x, default), default, x);
    }

    private readonly struct ReluSquared : IFunction
    {
        public static Vector<float> Of(Vector<float> x) => Relu.Of(x) * Relu.Of(x);
    }

    private readonly struct Alone<TFunction> : IElementwise where TFunction : IFunction
    {
        public static Vector<float> Apply(Vector<float> x, Vector<float> y) => TFunction.Of(x);
    }

    private readonly struct Gated<TFunction> : IElementwise where TFunction : IFunction
    {
        public static Vector<float> Apply(Vector<float> x, Vector<float> y) => TFunction.Of(x) * y;
    }

    private struct Work<TFunction> : IParallelWork where TFunction : IFunction
    {
        public float* X, Up, Destination;

        public readonly void Execute(int start, int end)
        {
            ReadOnlySpan<float> x = new(X + start, end - start);
            Span<float> destination = new(Destination + start, end - start);
            if (Up is null) VectorMath.Map<Alone<TFunction>>(x, x, destination);
            else VectorMath.Map<Gated<TFunction>>(x, new ReadOnlySpan<float>(Up + start, end - start), destination);
        }
    }
}
