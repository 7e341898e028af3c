using System;
using System.Numerics;

namespace Lowbit.Kernels;

/// <summary>Sums and products element by element. All spans have one length; the destination may be an input.</summary>
public static class Elementwise
{
    /// <summary>destination[i] = x[i] + y[i].</summary>
    public static void Add(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> destination) =>
        VectorMath.Map<AddFunction>(x, y, destination);

    /// <summary>destination[i] = x[i] · y[i].</summary>
    public static void Multiply(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> destination) =>
        VectorMath.Map<MultiplyFunction>(x, y, destination);

    /// <summary>destination[i] += factor · x[i].</summary>
    public static void AddScaled(float factor, ReadOnlySpan<float> x, Span<float> destination)
    {
        int width = Vector<float>.Count, i = 0;
        destination = destination[..x.Length];
        Vector<float> factors = new(factor);
        for (; i <= x.Length - width; i += width)
            Vector.MultiplyAddEstimate(factors, new Vector<float>(x[i..]), new Vector<float>(destination[i..])).CopyTo(destination[i..]);
        for (; i < x.Length; i++) destination[i] += factor * x[i];
    }

    /// <summary>x[i] *= factor.</summary>
    public static void Scale(float factor, Span<float> x)
    {
        int width = Vector<float>.Count, i = 0;
        for (; i <= x.Length - width; i += width) (factor * new Vector<float>(x[i..])).CopyTo(x[i..]);
        for (; i < x.Length; i++) x[i] *= factor;
    }

    /// <summary>Σ x[i] · y[i], rounded like any float sum over vectors of partial sums.</summary>
    public static float Dot(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(y.Length, x.Length);
        return VectorMath.Dot(x, y);
    }

    private readonly struct AddFunction : IElementwise
    {
        public static Vector<float> Apply(Vector<float> x, Vector<float> y) => x + y;
    }

    private readonly struct MultiplyFunction : IElementwise
    {
        public static Vector<float> Apply(Vector<float> x, Vector<float> y) => x * y;
    }
}
