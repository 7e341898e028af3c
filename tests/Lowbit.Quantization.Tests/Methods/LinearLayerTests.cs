using System;
using Lowbit.Core;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class LinearLayerTests
{
    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(1e20f)]
    public void Weight_that_is_no_usual_number_is_named(float value)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => new LinearLayer("blocks.1.down", 2, 3, new float[] { 0, 1, 2, 3, value, 5 }));
        Assert.StartsWith("blocks.1.down: weight [1, 1]", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Sizes_must_fit()
    {
        Assert.Throws<LowbitException>(() => new LinearLayer("x", 2, 3, new float[5]));
        Assert.Throws<LowbitException>(() => new LinearLayer("x", 0, 3, ReadOnlyMemory<float>.Empty));
        using var hessian = Samples.HessianOf(Samples.Inputs(5, 4, 1), 4);
        LowbitException e = Assert.Throws<LowbitException>(() => new LinearLayer("x", 2, 3, new float[6], hessian));
        Assert.Contains("4 features", e.Message, StringComparison.Ordinal);
    }
}
