using System;
using Lowbit.Quantization.Grids;
using Xunit;

namespace Lowbit.Quantization.Tests.Grids;

public sealed class ScaleRoundingTests
{
    [Fact]
    public void Float32_keeps_every_value()
    {
        var rounding = new ScaleRounding(ScalePrecision.Float32);
        Assert.Equal(1e-30f, rounding.Scale(1e-30f));
        Assert.Equal(1e30f, rounding.Mean(1e30f, 1));
        Assert.False(rounding.Failed);
    }

    [Theory]
    [InlineData(0.1f, false)]
    [InlineData(0f, false)]
    [InlineData(65504f, false)]
    [InlineData(7e4f, true)]
    [InlineData(1e-6f, true)]
    public void Scale_that_a_half_cannot_hold_is_noticed(float scale, bool failed)
    {
        var rounding = new ScaleRounding(ScalePrecision.Float16);
        float rounded = rounding.Scale(scale);
        Assert.Equal(failed, rounding.Failed);
        if (!failed) Assert.Equal((float)(Half)scale, rounded);
    }

    [Fact]
    public void Small_mean_beside_a_large_scale_fits()
    {
        var rounding = new ScaleRounding(ScalePrecision.Float16);
        rounding.Mean(1.03e-6f, 0.02f);
        Assert.False(rounding.Failed);
        rounding.Mean(1.03e-6f, 1e-6f);
        Assert.True(rounding.Failed);
    }
}
