using System;
using System.Linq;
using System.Numerics;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class VectorMathTests
{
    private readonly WorkerPool _pool = new(2);

    [Fact]
    public void Exp_is_within_two_parts_in_ten_million()
    {
        double worst = 0;
        for (float x = -87; x < 88.7f; x += 0.00731f)
        {
            double want = Math.Exp(x);
            worst = Math.Max(worst, Math.Abs(VectorMath.Exp(new Vector<float>(x))[0] - want) / want);
        }
        Assert.True(worst < 2e-7, $"relative error {worst}");
    }

    [Theory]
    [InlineData(0f, 1f)]
    [InlineData(float.NegativeInfinity, 0f)]
    [InlineData(-200f, 0f)]
    [InlineData(89f, float.PositiveInfinity)]
    [InlineData(float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(float.NaN, float.NaN)]
    public void Exp_at_the_edges(float x, float want) => Assert.Equal(want, VectorMath.Exp(new Vector<float>(x))[0]);

    [Theory]
    [InlineData(NonlinearityKind.Silu)]
    [InlineData(NonlinearityKind.Gelu)]
    [InlineData(NonlinearityKind.GeluTanh)]
    [InlineData(NonlinearityKind.Relu)]
    [InlineData(NonlinearityKind.ReluSquared)]
    public void Nonlinearities_agree_with_double_precision(NonlinearityKind kind)
    {
        for (int n = 1; n <= 300; n++)
        {
            using NativeBuffer x = TestValues.Random(n, n, 8), up = TestValues.Random(n, 1000 + n), alone = new(n * 4), gated = new(n * 4);
            Nonlinearity.Apply(_pool, kind, x.Floats, alone.Floats, n);
            Nonlinearity.ApplyGated(_pool, kind, x.Floats, up.Floats, gated.Floats, n);
            for (int i = 0; i < n; i++)
            {
                double v = x.Floats[i], want = kind switch
                {
                    NonlinearityKind.Silu => v / (1 + Math.Exp(-v)),
                    NonlinearityKind.Gelu => 0.5 * v * (1 + Erf(v / Math.Sqrt(2))),
                    NonlinearityKind.GeluTanh => 0.5 * v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v))),
                    NonlinearityKind.Relu => Math.Max(v, 0),
                    _ => Math.Max(v, 0) * Math.Max(v, 0),
                };
                Assert.True(Math.Abs(alone.Floats[i] - want) <= 3e-7 * Math.Max(1, Math.Max(Math.Abs(v), Math.Abs(want))), $"{kind}({v}) = {alone.Floats[i]}, expected {want}");
                Assert.Equal(alone.Floats[i] * up.Floats[i], gated.Floats[i]);
            }
        }
    }

    [Theory]
    [InlineData(-1000f)]
    [InlineData(1000f)]
    public void Nonlinearities_survive_large_inputs(float x)
    {
        float result;
        foreach (NonlinearityKind kind in new[] { NonlinearityKind.Silu, NonlinearityKind.Gelu, NonlinearityKind.GeluTanh })
        {
            Nonlinearity.Apply(_pool, kind, &x, &result, 1);
            Assert.Equal(x > 0 ? x : 0f, result);
        }
    }

    [Fact]
    public void Norms_agree_with_double_precision()
    {
        for (int n = 1; n <= 300; n++)
        {
            using NativeBuffer x = TestValues.Random(3 * n, n, 5), weight = TestValues.Random(n, n + 1), bias = TestValues.Random(n, n + 2), rms = new(12 * n), layer = new(12 * n);
            Normalization.RmsNorm(_pool, x.Floats, weight.Floats, rms.Floats, 3, n, 1e-5f);
            Normalization.LayerNorm(_pool, x.Floats, weight.Floats, bias.Floats, layer.Floats, 3, n, 1e-5f);
            for (int t = 0; t < 3; t++)
            {
                double[] row = x.Span<float>(t * n, n).ToArray().Select(v => (double)v).ToArray();
                double mean = row.Average(), variance = row.Average(v => (v - mean) * (v - mean)), square = row.Average(v => v * v);
                for (int i = 0; i < n; i++)
                {
                    Assert.Equal(weight.Floats[i] * row[i] / Math.Sqrt(square + 1e-5), rms.Floats[t * n + i], 3e-6);
                    // one element minus its mean is all rounding error, which epsilon magnifies
                    if (n > 2) Assert.Equal(weight.Floats[i] * (row[i] - mean) / Math.Sqrt(variance + 1e-5) + bias.Floats[i], layer.Floats[t * n + i], 1e-5);
                }
            }
        }
    }

    [Fact]
    public void Norms_work_in_place_and_without_weights()
    {
        using NativeBuffer x = TestValues.Filled(20, 3);
        Normalization.RmsNorm(_pool, x.Floats, null, x.Floats, 1, 20, 0);
        Assert.All(x.Span<float>(0, 20).ToArray(), value => Assert.Equal(1, value, 1e-6f));
    }

    [Fact]
    public void Softmax_agrees_with_double_precision()
    {
        for (int n = 1; n <= 300; n++)
        {
            using NativeBuffer x = TestValues.Random(n, n, 30);
            if (n > 3) x.Floats[2] = float.NegativeInfinity;
            double[] exponentials = x.Span<float>(0, n).ToArray().Select(v => Math.Exp(v)).ToArray();
            double sum = exponentials.Sum();
            Assert.Equal(Math.Log(sum), Softmax.LogSumExp(x.Span<float>(0, n)), 1e-6);
            Softmax.InPlace(x.Span<float>(0, n));
            for (int i = 0; i < n; i++) Assert.Equal(exponentials[i] / sum, x.Floats[i], 5e-7);
        }
    }

    [Theory]
    [InlineData(RotaryPairs.HalfSplit, 64, 64)]
    [InlineData(RotaryPairs.Interleaved, 64, 64)]
    [InlineData(RotaryPairs.HalfSplit, 20, 14)]
    [InlineData(RotaryPairs.Interleaved, 20, 14)]
    public void Rotation_turns_each_pair_by_its_angle(RotaryPairs pairs, int headDim, int rotaryDim)
    {
        const int Tokens = 5, Heads = 3, First = 7;
        int half = rotaryDim / 2, stride = Heads * headDim + 4;
        using NativeBuffer x = TestValues.Random(Tokens * stride, 1), before = TestValues.Random(Tokens * stride, 1);
        using NativeBuffer cosines = new((First + Tokens) * half * 4), sines = new((First + Tokens) * half * 4);
        double Angle(int position, int i) => position * Math.Pow(10000, -2.0 * i / rotaryDim);
        for (int p = 0; p < First + Tokens; p++)
            for (int i = 0; i < half; i++) (cosines.Floats[p * half + i], sines.Floats[p * half + i]) = ((float)Math.Cos(Angle(p, i)), (float)Math.Sin(Angle(p, i)));
        RotaryEmbedding.Apply(_pool, pairs, x.Floats, stride, Tokens, Heads, headDim, rotaryDim, cosines.Floats, sines.Floats, First);
        for (int t = 0; t < Tokens; t++)
        {
            for (int e = 0; e < stride; e++)
            {
                double want = before.Floats[t * stride + e];
                int inHead = e % headDim;
                if (e < Heads * headDim && inHead < rotaryDim)
                {
                    int i = pairs == RotaryPairs.HalfSplit ? inHead % half : inHead / 2;
                    bool second = pairs == RotaryPairs.HalfSplit ? inHead >= half : inHead % 2 == 1;
                    int partner = pairs == RotaryPairs.HalfSplit ? (second ? e - half : e + half) : e ^ 1;
                    want = want * Math.Cos(Angle(First + t, i)) + (second ? 1 : -1) * before.Floats[t * stride + partner] * Math.Sin(Angle(First + t, i));
                }
                Assert.Equal(want, x.Floats[t * stride + e], 1e-6);
            }
        }
    }

    [Fact]
    public void Elementwise_operations_at_every_length()
    {
        for (int n = 0; n <= 100; n++)
        {
            using NativeBuffer x = TestValues.Random(n, 1), y = TestValues.Random(n, 2), sum = new(4 * n), product = new(4 * n);
            Elementwise.Add(x.Span<float>(0, n), y.Span<float>(0, n), sum.Span<float>(0, n));
            Elementwise.Multiply(x.Span<float>(0, n), y.Span<float>(0, n), product.Span<float>(0, n));
            double dot = 0;
            for (int i = 0; i < n; i++)
            {
                Assert.Equal(x.Floats[i] + y.Floats[i], sum.Floats[i]);
                Assert.Equal(x.Floats[i] * y.Floats[i], product.Floats[i]);
                dot += (double)x.Floats[i] * y.Floats[i];
            }
            Assert.Equal(dot, Elementwise.Dot(x.Span<float>(0, n), y.Span<float>(0, n)), 1e-5);
            Elementwise.AddScaled(2, x.Span<float>(0, n), sum.Span<float>(0, n));
            Elementwise.Scale(0.5f, product.Span<float>(0, n));
            for (int i = 0; i < n; i++)
            {
                Assert.Equal(3.0 * x.Floats[i] + y.Floats[i], sum.Floats[i], 1e-6);
                Assert.Equal(x.Floats[i] * y.Floats[i] * 0.5f, product.Floats[i]);
            }
        }
    }

    // Below 2 the series 2/√π Σ (−1)^n x^(2n+1) / (n! (2n+1)), above the continued fraction of erfc.
    private static double Erf(double x)
    {
        if (Math.Abs(x) > 2)
        {
            double z = Math.Abs(x), fraction = z;
            for (int n = 100; n > 0; n--) fraction = z + n / 2.0 / fraction;
            return Math.CopySign(1 - Math.Exp(-z * z) / Math.Sqrt(Math.PI) / fraction, x);
        }
        double term = x, sum = x;
        for (int n = 1; n < 100; n++)
        {
            term *= -x * x / n;
            sum += term / (2 * n + 1);
        }
        return 2 / Math.Sqrt(Math.PI) * sum;
    }
}
