using System;
using System.Numerics;

namespace Lowbit.Kernels;

/// <summary>Numbers to probabilities.</summary>
public static class Softmax
{
    /// <summary>x[i] = e^(x[i] − max) / Σ e^(x[j] − max); −∞ becomes 0.</summary>
    public static void InPlace(Span<float> x)
    {
        if (x.IsEmpty) return;
        float sum = Exponentiate(x, Max(x));
        Elementwise.Scale(1 / sum, x);
    }

    /// <summary>max + log Σ e^(x[i] − max), in double precision where it adds up.</summary>
    public static double LogSumExp(ReadOnlySpan<float> x)
    {
        float max = Max(x);
        if (float.IsNegativeInfinity(max)) return max;
        Vector<float> maxima = new(max);
        Vector<double> sums = default;
        int width = Vector<float>.Count, i = 0;
        for (; i <= x.Length - width; i += width)
        {
            Vector.Widen(VectorMath.Exp(new Vector<float>(x[i..]) - maxima), out Vector<double> low, out Vector<double> high);
            sums += low + high;
        }
        double sum = Vector.Sum(sums);
        for (; i < x.Length; i++) sum += Math.Exp((double)x[i] - max);
        return max + Math.Log(sum);
    }

    /// <summary>The greatest element; −∞ of none.</summary>
    internal static float Max(ReadOnlySpan<float> x)
    {
        int width = Vector<float>.Count, i = 0;
        Vector<float> maxima = new(float.NegativeInfinity);
        for (; i <= x.Length - width; i += width) maxima = Vector.Max(maxima, new Vector<float>(x[i..]));
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < width; lane++) max = MathF.Max(max, maxima[lane]);
        for (; i < x.Length; i++) max = MathF.Max(max, x[i]);
        return max;
    }

    /// <summary>x[i] = e^(x[i] − max); returns the sum of the results.</summary>
    internal static float Exponentiate(Span<float> x, float max)
    {
        int width = Vector<float>.Count, i = 0;
        Vector<float> sums = default, maxima = new(max);
        for (; i <= x.Length - width; i += width)
        {
            Vector<float> value = VectorMath.Exp(new Vector<float>(x[i..]) - maxima);
            value.CopyTo(x[i..]);
            sums += value;
        }
        float sum = Vector.Sum(sums);
        if (i == x.Length) return sum;
        Span<float> last = stackalloc float[width];
        last.Fill(float.NegativeInfinity);
        x[i..].CopyTo(last);
        Vector<float> rest = VectorMath.Exp(new Vector<float>(last) - maxima);
        rest.CopyTo(last);
        last[..(x.Length - i)].CopyTo(x[i..]);
        for (int lane = 0; lane < x.Length - i; lane++) sum += last[lane];
        return sum;
    }
}
