using System;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.LinearAlgebra;
using Xunit;

namespace Lowbit.Quantization.Tests.Calibration;

public sealed class HessianTests
{
    [Fact]
    public void Mean_over_samples_of_twice_the_second_moments()
    {
        const int Features = 9, Tokens = 23, PerSample = 10; // samples of 10, 10 and 3 tokens count alike
        float[] x = Samples.Inputs(Tokens, Features, 1);
        using Hessian hessian = Hessian.FromInputs(Samples.Pool, "sample", x, Features, PerSample);
        Assert.Equal(3, hessian.Samples);
        for (int i = 0; i < Features; i++)
            for (int j = 0; j < Features; j++)
            {
                double sum = 0, size = 0;
                for (int t = 0; t < Tokens; t++)
                {
                    sum += (double)x[t * Features + i] * x[t * Features + j];
                    size += Math.Abs((double)x[t * Features + i] * x[t * Features + j]);
                }
                Assert.InRange(hessian.Span[i * Features + j] - 2.0 / 3 * sum, -1e-6 * size, 1e-6 * size);
            }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(1e30f)]
    public void Input_that_is_not_finite_or_too_large_is_refused(float value)
    {
        using var hessian = new Hessian("blocks.3.up", 4);
        LowbitException e = Assert.Throws<LowbitException>(() => hessian.Add(Samples.Pool, [0, 1, value, 2]));
        Assert.Contains("blocks.3.up", e.Message, StringComparison.Ordinal);
        Assert.Contains("feature 2", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Dead_inputs_count_as_one_in_factor_and_order()
    {
        using Hessian hessian = Hessian.FromMatrix("sample", [4, 0, 0, 0, 0, 0, 0, 0, 0.5f], 3);
        Assert.True(hessian.IsDead(1));
        Assert.False(hessian.IsDead(2));
        Assert.Equal([0, 1, 2], hessian.ActivationOrder());
        double ridge = 0.1 * (4 + 1 + 0.5) / 3;
        InverseFactor u = hessian.Factor(Samples.Pool, 0.1, activationOrder: false, CancellationToken.None);
        Assert.Equal(1 / Math.Sqrt(4 + ridge), u[0, 0], 1e-6);
        Assert.Equal(1 / Math.Sqrt(1 + ridge), u[1, 1], 1e-6);
        Assert.Equal(1 / Math.Sqrt(0.5 + ridge), u[2, 2], 1e-6);
        Assert.True(hessian.IsDead(1), "the matrix itself stays as it was");
    }

    [Fact]
    public void Order_falls_and_keeps_equals_in_place()
    {
        using Hessian hessian = Hessian.FromMatrix("sample", [2, 0, 0, 0, 0, 5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 7], 4);
        Assert.Equal([3, 1, 0, 2], hessian.ActivationOrder());
    }

    [Fact]
    public void Factor_is_kept_until_something_changes()
    {
        using var hessian = new Hessian("sample", 2);
        hessian.Add(Samples.Pool, [1, 2, 3, -1]);
        InverseFactor first = hessian.Factor(Samples.Pool, 0.01, false, CancellationToken.None);
        Assert.Same(first, hessian.Factor(Samples.Pool, 0.01, false, CancellationToken.None));
        InverseFactor other = hessian.Factor(Samples.Pool, 0.02, false, CancellationToken.None);
        Assert.NotSame(first, other);
        hessian.Add(Samples.Pool, [1, 2]);
        Assert.NotSame(other, hessian.Factor(Samples.Pool, 0.02, false, CancellationToken.None));
    }

    [Theory]
    [InlineData(new float[] { 1, 0.5f, 0.4f, 1 }, "not symmetric")]
    [InlineData(new float[] { 1, 0, 0, -1 }, "second moment")]
    [InlineData(new float[] { 1, float.NaN, float.NaN, 1 }, "not symmetric")]
    [InlineData(new float[] { 1, 0, 0 }, "3 elements")]
    public void Matrix_from_elsewhere_is_checked(float[] values, string problem)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => Hessian.FromMatrix("case", values, 2));
        Assert.Contains(problem, e.Message, StringComparison.Ordinal);
    }
}
