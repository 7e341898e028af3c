using System;
using System.Runtime.Intrinsics;
using Lowbit.Quantization.Grids;
using Xunit;

namespace Lowbit.Quantization.Tests.Grids;

public sealed class UniformGridTests
{
    private static ScaleRounding Exact => new(ScalePrecision.Float32);

    [Fact]
    public void Asymmetric_grid_by_hand()
    {
        // range −1 to 2, 2 bits: s = 1, z = 1, levels −1, 0, 1, 2
        UniformGrid grid = UniformGrid.Fit([-1, 0.4f, 2, 1.2f], 2, symmetric: false, Exact);
        Assert.Equal(new UniformGrid(1, 1, 3), grid);
        Assert.Equal([0f, 1, 2, 3, 3, 0], Array.ConvertAll([-1f, 0.4f, 1.2f, 2, 9, -9], grid.Encode));
        Assert.Equal([-1f, 0, 1, 2], Array.ConvertAll([0f, 1, 2, 3], grid.Decode));
    }

    [Fact]
    public void Symmetric_grid_by_hand()
    {
        // largest 1.5, 2 bits: s = 3/3 = 1, z = 2, levels −2, −1, 0, 1
        UniformGrid grid = UniformGrid.Fit([-1.5f, 0.2f, 1], 2, symmetric: true, Exact);
        Assert.Equal(new UniformGrid(1, 2, 3), grid);
        Assert.Equal(-2, grid.Decode(grid.Encode(-1.5f)));
        Assert.Equal(1, grid.Decode(grid.Encode(1.5f)));
    }

    [Theory]
    [InlineData(0.5f, 0)]
    [InlineData(1.5f, 2)]
    [InlineData(2.5f, 2)]
    [InlineData(-0.5f, 0)]
    [InlineData(-1.5f, -2)]
    public void Halves_go_to_the_even_multiple(float weight, float level)
    {
        var grid = new UniformGrid(1, 8, 15);
        Assert.Equal(level, grid.Decode(grid.Encode(weight)));
    }

    [Fact]
    public void Range_always_contains_zero()
    {
        UniformGrid positive = UniformGrid.Fit([3, 5, 4], 4, symmetric: false, Exact), negative = UniformGrid.Fit([-3, -5], 4, symmetric: false, Exact);
        Assert.Equal((5f / 15, 0f), (positive.Scale, positive.Zero));
        Assert.Equal((5f / 15, 15f), (negative.Scale, negative.Zero));
    }

    [Fact]
    public void Symmetric_grid_of_positive_weights_reaches_the_largest()
    {
        UniformGrid grid = UniformGrid.Fit([0.5f, 1], 4, symmetric: true, Exact);
        Assert.InRange(grid.Decode(grid.Encode(1)), 1 - grid.Scale / 2, 1 + grid.Scale / 2);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1e-45f)]
    public void Group_of_nothing_gets_a_grid_from_minus_one_to_one(float weight)
    {
        UniformGrid grid = UniformGrid.Fit([weight, -weight], 3, symmetric: false, Exact);
        Assert.Equal(2f / 7, grid.Scale);
        Assert.Equal(0, grid.Decode(grid.Encode(weight)));
    }

    [Theory]
    [InlineData(ScalePrecision.Float32)]
    [InlineData(ScalePrecision.Float16)]
    public void Rounded_weights_stay_within_half_a_step_and_round_to_themselves(ScalePrecision precision)
    {
        for (int bits = 2; bits <= 8; bits++)
        {
            var rounding = new ScaleRounding(precision);
            float[] weights = Samples.Normal(300, bits, 0.03f);
            UniformGrid grid = UniformGrid.Fit(weights, bits, symmetric: false, rounding);
            if (precision == ScalePrecision.Float16) Assert.Equal((float)(Half)grid.Scale, grid.Scale);
            Assert.False(rounding.Failed);
            foreach (float weight in weights)
            {
                float level = grid.Decode(grid.Encode(weight));
                // the rounded zero and, in 16 bits, the rounded scale may cut a little off at the ends
                Assert.InRange(level, weight - 0.63f * grid.Scale, weight + 0.63f * grid.Scale);
                Assert.Equal(level, grid.Decode(grid.Encode(level)));
            }
        }
    }

    [Fact]
    public void Eight_at_once_equal_one_by_one()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            float[] weights = Samples.Normal(8, seed, 0.5f);
            weights[seed % 8] = seed % 3 == 0 ? 0 : weights[seed % 8];
            UniformGrid grid = UniformGrid.Fit(weights, 2 + seed % 7, seed % 2 == 0, Exact);
            weights[(seed + 3) % 8] = grid.Scale * 2.5f;
            Vector256<float> scale = Vector256.Create(grid.Scale), zero = Vector256.Create(grid.Zero);
            Vector256<float> codes = VectorCodes.EncodeUniform(Vector256.Create(weights), scale, zero, Vector256.Create(grid.MaxCode));
            Vector256<float> levels = VectorCodes.DecodeUniform(codes, scale, zero);
            var bytes = new byte[8];
            unsafe
            {
                fixed (byte* pointer = bytes) VectorCodes.Store(codes, pointer);
            }
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(grid.Encode(weights[i]), codes[i]);
                Assert.Equal((byte)grid.Encode(weights[i]), bytes[i]);
                Assert.Equal(BitConverter.SingleToInt32Bits(grid.Decode(codes[i])), BitConverter.SingleToInt32Bits(levels[i]));
            }
        }
    }
}
