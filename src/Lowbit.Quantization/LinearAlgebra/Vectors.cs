using System;
using System.Runtime.Intrinsics;

namespace Lowbit.Quantization.LinearAlgebra;

/// <summary>Steps on vectors of any length.</summary>
internal static unsafe class Vectors
{
    /// <summary>Σ a · b in double precision, summed in order.</summary>
    /// <param name="a">One vector.</param>
    /// <param name="b">At least as many.</param>
    public static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }

    /// <summary>max |x|; 0 of none.</summary>
    public static float Largest(ReadOnlySpan<float> x)
    {
        float largest = 0;
        foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
        return largest;
    }

    /// <summary>sum += factor · x.</summary>
    /// <param name="x">As many as <paramref name="sum"/> has.</param>
    /// <param name="factor">Factor.</param>
    /// <param name="sum">Added to.</param>
    public static void Add(float* x, float factor, Span<float> sum)
    {
        int j = 0;
        fixed (float* y = sum)
        {
            for (; j <= sum.Length - Vector256<float>.Count; j += Vector256<float>.Count)
                Vector256.FusedMultiplyAdd(Vector256.Create(factor), Vector256.Load(x + j), Vector256.Load(y + j)).Store(y + j);
            for (; j < sum.Length; j++) y[j] = MathF.FusedMultiplyAdd(factor, x[j], y[j]);
        }
    }
}
