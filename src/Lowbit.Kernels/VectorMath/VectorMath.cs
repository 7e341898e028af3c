using System;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Lowbit.Kernels;

/// <summary>A function of two numbers, applied to whole vectors.</summary>
internal interface IElementwise
{
    static abstract Vector<float> Apply(Vector<float> x, Vector<float> y);
}

/// <summary>Loops and functions that the public operations of this folder share.</summary>
internal static class VectorMath
{
    /// <summary>destination[i] = f(x[i], y[i]); destination may be x or y.</summary>
    public static void Map<TFunction>(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> destination) where TFunction : IElementwise
    {
        if (y.Length != x.Length || destination.Length != x.Length)
            throw new ArgumentException($"lengths {x.Length}, {y.Length} and {destination.Length} must be equal");
        int width = Vector<float>.Count, i = 0;
        for (; i <= x.Length - width; i += width) TFunction.Apply(new(x[i..]), new(y[i..])).CopyTo(destination[i..]);
        if (i == x.Length) return;
        // The rest passes through the same vector code, so that an element does not depend on its place.
        Span<float> lastX = stackalloc float[width], lastY = stackalloc float[width];
        x[i..].CopyTo(lastX);
        y[i..].CopyTo(lastY);
        TFunction.Apply(new(lastX), new(lastY)).CopyTo(lastX);
        lastX[..(x.Length - i)].CopyTo(destination[i..]);
    }

    /// <summary>Σ a[i] · b[i] in four vectors of partial sums.</summary>
    public static unsafe float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        fixed (float* x = a, y = b[..a.Length]) return Dot(x, y, a.Length);
    }

    /// <summary>The same of <paramref name="count"/> elements each.</summary>
    public static unsafe float Dot(float* a, float* b, int count)
    {
        int width = Vector<float>.Count, i = 0;
        Vector<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        for (; i <= count - 4 * width; i += 4 * width)
        {
            sum0 = Vector.MultiplyAddEstimate(Vector.Load(a + i), Vector.Load(b + i), sum0);
            sum1 = Vector.MultiplyAddEstimate(Vector.Load(a + i + width), Vector.Load(b + i + width), sum1);
            sum2 = Vector.MultiplyAddEstimate(Vector.Load(a + i + 2 * width), Vector.Load(b + i + 2 * width), sum2);
            sum3 = Vector.MultiplyAddEstimate(Vector.Load(a + i + 3 * width), Vector.Load(b + i + 3 * width), sum3);
        }
        for (; i <= count - width; i += width) sum0 = Vector.MultiplyAddEstimate(Vector.Load(a + i), Vector.Load(b + i), sum0);
        float sum = Vector.Sum((sum0 + sum1) + (sum2 + sum3));
        for (; i < count; i++) sum += a[i] * b[i];
        return sum;
    }

    /// <summary>
    /// e^x: with n = round(x / ln 2) and r = x − n ln 2, e^x = 2^n · e^r, and for |r| ≤ ln 2 / 2 the series of e^r up to r^7
    /// is good to 5e-9. The relative error is below 2e-7, overflow gives ∞ and underflow goes down to 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        // The second operand is what comes of NaN, which passes through.
        x = Vector.MinNative(new Vector<float>(90), Vector.MaxNative(new Vector<float>(-105), x));
        Vector<float> magic = new(12582912f); // 1.5 · 2^23: adding it rounds to an integer and leaves that in the low bits
        Vector<float> shifted = Vector.MultiplyAddEstimate(x, new Vector<float>(1.44269504f), magic), n = shifted - magic;
        // ln 2 in two parts, the first with so few bits that n times it is exact.
        Vector<float> r = Vector.MultiplyAddEstimate(n, new Vector<float>(-0.693359375f), x);
        r = Vector.MultiplyAddEstimate(n, new Vector<float>(2.12194440e-4f), r);
        Vector<float> series = new(1f / 5040);
        series = Vector.MultiplyAddEstimate(series, r, new Vector<float>(1f / 720));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<float>(1f / 120));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<float>(1f / 24));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<float>(1f / 6));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<float>(0.5f));
        series = Vector.MultiplyAddEstimate(series, r * r, r) + Vector<float>.One;
        // Two factors, because 2^128 and 2^-150 are no floats.
        Vector<int> exponent = Vector.AsVectorInt32(shifted) - Vector.AsVectorInt32(magic), half = Vector.ShiftRightArithmetic(exponent, 1);
        return series * PowerOfTwo(half) * PowerOfTwo(exponent - half);
    }

    /// <summary>tanh x = 1 − 2 / (e^(2x) + 1); the absolute error is below 2e-7.</summary>
    public static Vector<float> Tanh(Vector<float> x) =>
        Vector<float>.One - new Vector<float>(2) / (Exp(x + x) + Vector<float>.One);

    private static Vector<float> PowerOfTwo(Vector<int> exponent) =>
        Vector.AsVectorSingle(Vector.ShiftLeft(exponent + new Vector<int>(127), 23));
}
