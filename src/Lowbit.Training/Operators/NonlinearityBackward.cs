using System;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Training.Operators;

/// <summary>Gradients of f(x) and of f(gate) ∘ up.</summary>
internal static unsafe class NonlinearityBackward
{
    private const int Grain = 4096;

    /// <summary>dx[i] = dy[i] · f′(x[i]); dx may be dy.</summary>
    public static void Apply(WorkerPool pool, NonlinearityKind kind, float* x, float* dy, float* dx, int count) =>
        Dispatch(pool, kind, x, null, dy, dx, null, count);

    /// <summary>dGate[i] = dy[i] · up[i] · f′(gate[i]), dUp[i] = dy[i] · f(gate[i]).</summary>
    public static void ApplyGated(WorkerPool pool, NonlinearityKind kind, float* gate, float* up, float* dy, float* dGate, float* dUp, int count) =>
        Dispatch(pool, kind, gate, up, dy, dGate, dUp, count);

    private static void Dispatch(WorkerPool pool, NonlinearityKind kind, float* x, float* up, float* dy, float* dx, float* dUp, int count)
    {
        switch (kind)
        {
            case NonlinearityKind.Silu: Run<Silu>(pool, x, up, dy, dx, dUp, count); break;
            case NonlinearityKind.Gelu: Run<Gelu>(pool, x, up, dy, dx, dUp, count); break;
            case NonlinearityKind.GeluTanh: Run<GeluTanh>(pool, x, up, dy, dx, dUp, count); break;
            case NonlinearityKind.Relu: Run<Relu>(pool, x, up, dy, dx, dUp, count); break;
            case NonlinearityKind.ReluSquared: Run<ReluSquared>(pool, x, up, dy, dx, dUp, count); break;
            default: throw new ArgumentOutOfRangeException(nameof(kind), kind, null);
        }
    }

    private static void Run<TFunction>(WorkerPool pool, float* x, float* up, float* dy, float* dx, float* dUp, int count) where TFunction : IFunction
    {
        Work<TFunction> work = new() { X = x, Up = up, OutputGradient = dy, InputGradient = dx, UpGradient = dUp };
        pool.Run(ref work, count, Grain);
    }

    private interface IFunction
    {
        /// <summary>f(x) and its slope f′(x).</summary>
        static abstract Vector<float> Of(Vector<float> x, out Vector<float> slope);
    }

    private readonly struct Silu : IFunction
    {
        public static Vector<float> Of(Vector<float> x, out Vector<float> slope)
        {
            Vector<float> s = Vector<float>.One / (Vector<float>.One + VectorMath.Exp(-x)), value = x * s;
            slope = s + value * (Vector<float>.One - s);
            return value;
        }
    }

    private readonly struct Gelu : IFunction
    {
        // Φ as in Lowbit.Kernels.Nonlinearity; the slope is Φ(x) + x · φ(x).
        public static Vector<float> Of(Vector<float> x, out Vector<float> slope)
        {
            Vector<float> z = Vector.Abs(x) * new Vector<float>(0.70710678f), bell = VectorMath.Exp(-z * z);
            Vector<float> t = Vector<float>.One / Vector.MultiplyAddEstimate(z, new Vector<float>(0.3275911f), Vector<float>.One);
            Vector<float> sum = new(1.061405429f);
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(-1.453152027f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(1.421413741f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(-0.284496736f));
            sum = Vector.MultiplyAddEstimate(sum, t, new Vector<float>(0.254829592f));
            Vector<float> tail = new Vector<float>(0.5f) * sum * t * bell;
            Vector<float> phi = Vector.ConditionalSelect(Vector.LessThan(x, default), tail, Vector<float>.One - tail);
            slope = phi + x * bell * new Vector<float>(0.39894228f);
            return x * phi;
        }
    }

    private readonly struct GeluTanh : IFunction
    {
        // With u = 2√(2/π) (x + 0.044715 x³), f = x · σ(u) and f′ = σ + x · σ (1 − σ) · u′.
        public static Vector<float> Of(Vector<float> x, out Vector<float> slope)
        {
            Vector<float> square = x * x;
            Vector<float> u = new Vector<float>(1.59576912f) * x * (Vector<float>.One + new Vector<float>(0.044715f) * square);
            Vector<float> s = Vector<float>.One / (Vector<float>.One + VectorMath.Exp(-u)), value = x * s;
            slope = s + value * (Vector<float>.One - s) * new Vector<float>(1.59576912f) * (Vector<float>.One + new Vector<float>(3 * 0.044715f) * square);
            return value;
        }
    }

    private readonly struct Relu : IFunction
    {
        public static Vector<float> Of(Vector<float> x, out Vector<float> slope)
        {
            slope = Vector.ConditionalSelect(Vector.GreaterThan(x, default), Vector<float>.One, default);
            return x * slope;
        }
    }

    private readonly struct ReluSquared : IFunction
    {
        public static Vector<float> Of(Vector<float> x, out Vector<float> slope)
        {
            Vector<float> value = Relu.Of(x, out _);
            slope = value + value;
            return value * value;
        }
    }

    private struct Work<TFunction> : IParallelWork where TFunction : IFunction
    {
        public float* X, Up, OutputGradient, InputGradient, UpGradient;

        public readonly void Execute(int start, int end)
        {
            int i = start;
            for (; i <= end - Vector<float>.Count; i += Vector<float>.Count) Step(X + i, Up is null ? null : Up + i, OutputGradient + i, InputGradient + i, UpGradient is null ? null : UpGradient + i);
            if (i == end) return;
            // The rest passes through the same vector code.
            int rest = end - i, width = Vector<float>.Count;
            float* last = stackalloc float[5 * width];
            new Span<float>(last, 5 * width).Clear();
            new ReadOnlySpan<float>(X + i, rest).CopyTo(new Span<float>(last, width));
            if (Up is not null) new ReadOnlySpan<float>(Up + i, rest).CopyTo(new Span<float>(last + width, width));
            new ReadOnlySpan<float>(OutputGradient + i, rest).CopyTo(new Span<float>(last + 2 * width, width));
            Step(last, Up is null ? null : last + width, last + 2 * width, last + 3 * width, last + 4 * width);
            new ReadOnlySpan<float>(last + 3 * width, rest).CopyTo(new Span<float>(InputGradient + i, rest));
            if (Up is not null) new ReadOnlySpan<float>(last + 4 * width, rest).CopyTo(new Span<float>(UpGradient + i, rest));
        }

        private static void Step(float* x, float* up, float* dy, float* dx, float* dUp)
        {
            Vector<float> value = TFunction.Of(Vector.Load(x), out Vector<float> slope), gradient = Vector.Load(dy);
            if (up is null)
            {
                (gradient * slope).Store(dx);
                return;
            }
            Vector<float> factor = Vector.Load(up);
            (gradient * value).Store(dUp);
            (gradient * factor * slope).Store(dx);
        }
    }
}
