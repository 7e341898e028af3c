using System;
using System.Linq;
using System.Runtime.Intrinsics;
using Lowbit.Quantization.Grids;
using Xunit;

namespace Lowbit.Quantization.Tests.Grids;

public sealed class BinaryGridTests
{
    private static ScaleRounding Exact => new(ScalePrecision.Float32);

    private static readonly float[] s_row = [1, -3, 100, 2, 4, -100];
    private static readonly bool[] s_salient = [false, false, true, false, false, true];

    [Fact]
    public void Xnor_by_hand_after_the_paper()
    {
        // low weights 1, −3, 2, 4: m = 1, α = (0 + 4 + 1 + 3) / 4 = 2
        BinaryGrid grid = BinaryGrid.Fit(BinaryKind.Xnor, s_row, s_salient, ScaleRule.Paper, Exact);
        Assert.Equal(new BinaryGrid(1, 1, 2, 1), grid);
        Assert.Equal([3f, -1, 3, 3], Array.ConvertAll([1f, -3, 2, 4], w => grid.Decode(grid.Encode(w))));
    }

    [Fact]
    public void Xnor_by_hand_after_the_repository()
    {
        // six slots, the salient ones zero: m = 4/6, α = (1/3 + 11/3 + 2/3 + 4/3 + 10/3 + 2/3) / 6 = 10/6
        BinaryGrid grid = BinaryGrid.Fit(BinaryKind.Xnor, s_row, s_salient, ScaleRule.Repository, Exact);
        Assert.Equal(2f / 3, grid.Mean, 1e-6f);
        Assert.Equal(10f / 6, grid.Scale, 1e-6f);
    }

    [Fact]
    public void Sign_has_the_levels_zero_and_alpha()
    {
        // positive parts 1, 2, 4 over four low weights, or over six slots
        BinaryGrid paper = BinaryGrid.Fit(BinaryKind.Sign, s_row, s_salient, ScaleRule.Paper, Exact);
        BinaryGrid repository = BinaryGrid.Fit(BinaryKind.Sign, s_row, s_salient, ScaleRule.Repository, Exact);
        Assert.Equal([0f, 7f / 4], [paper.Decode(0), paper.Decode(1)]);
        Assert.Equal([0f, 7f / 6], [repository.Decode(0), repository.Decode(1)]);
        Assert.Equal([0f, 0, 0, 1], Array.ConvertAll([-1f, -0f, 0, 1e-30f], paper.Encode));
    }

    [Fact]
    public void Two_bits_are_the_uniform_grid_of_the_low_weights()
    {
        foreach (int seed in Enumerable.Range(0, 20))
        {
            float[] weights = Samples.Normal(40, seed, 0.1f);
            bool[] salient = Array.ConvertAll(weights, w => MathF.Abs(w) > 0.15f);
            float[] low = [.. weights.Where((_, j) => !salient[j])];
            BinaryGrid grid = BinaryGrid.Fit(BinaryKind.TwoBit, weights, salient, ScaleRule.Paper, Exact);
            UniformGrid uniform = UniformGrid.Fit(low, 2, symmetric: false, Exact);
            foreach (float w in low)
            {
                Assert.Equal(uniform.Encode(w), grid.Encode(w));
                Assert.Equal(uniform.Decode(uniform.Encode(w)), grid.Decode(grid.Encode(w)), 1e-7f);
            }
            Assert.Equal(0, grid.Decode(grid.Encode(0)));
        }
    }

    [Fact]
    public void Pruned_weights_are_zero()
    {
        BinaryGrid grid = BinaryGrid.Fit(BinaryKind.Prune, s_row, s_salient, ScaleRule.Paper, Exact);
        Assert.Equal((0, 0f), (grid.Bits, grid.Decode(grid.Encode(-3))));
    }

    [Theory]
    [InlineData(BinaryKind.Xnor)]
    [InlineData(BinaryKind.Sign)]
    [InlineData(BinaryKind.TwoBit)]
    public void Group_without_low_weights_gives_finite_levels(BinaryKind kind)
    {
        foreach (ScaleRule rule in new[] { ScaleRule.Paper, ScaleRule.Repository })
        {
            BinaryGrid grid = BinaryGrid.Fit(kind, [5, -5], [true, true], rule, Exact);
            Assert.True(float.IsFinite(grid.Decode(grid.Encode(1))));
        }
    }

    [Fact]
    public void Alpha_of_the_paper_beats_every_other_scalar()
    {
        foreach (int seed in Enumerable.Range(0, 20))
        {
            float[] weights = Samples.Normal(64, seed);
            bool[] salient = Array.ConvertAll(weights, w => MathF.Abs(w) > 1);
            BinaryGrid best = BinaryGrid.Fit(BinaryKind.Xnor, weights, salient, ScaleRule.Paper, Exact);
            double least = Error(best);
            foreach (float factor in new[] { 0.5f, 0.9f, 0.99f, 1.01f, 1.1f, 2 })
                Assert.True(least < Error(best with { Scale = best.Scale * factor }), $"α · {factor} is better at seed {seed}");
            Assert.True(least < Error(BinaryGrid.Fit(BinaryKind.Xnor, weights, salient, ScaleRule.Repository, Exact)));

            double Error(BinaryGrid grid) => weights.Where((_, j) => !salient[j]).Sum(w => Math.Pow(w - grid.Decode(grid.Encode(w)), 2));
        }
    }

    [Theory]
    [InlineData(BinaryKind.Xnor)]
    [InlineData(BinaryKind.Sign)]
    [InlineData(BinaryKind.TwoBit)]
    [InlineData(BinaryKind.Prune)]
    public void Eight_at_once_equal_one_by_one(BinaryKind kind)
    {
        for (int seed = 0; seed < 30; seed++)
        {
            float[] weights = Samples.Normal(8, seed);
            BinaryGrid grid = BinaryGrid.Fit(kind, weights, new bool[8], ScaleRule.Paper, Exact);
            weights[seed % 8] = seed % 2 == 0 ? grid.Mean : 0;
            Vector256<float> mean = Vector256.Create(grid.Mean), scale = Vector256.Create(grid.Scale);
            Vector256<float> codes = VectorCodes.EncodeBinary(grid.Bits, Vector256.Create(weights), mean, scale, Vector256.Create(grid.Threshold));
            Vector256<float> levels = VectorCodes.DecodeBinary(grid.Bits, codes, mean, scale);
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(grid.Encode(weights[i]), codes[i]);
                Assert.Equal(BitConverter.SingleToInt32Bits(grid.Decode(codes[i])), BitConverter.SingleToInt32Bits(levels[i]));
            }
        }
    }

    [Fact]
    public unsafe void Mask_of_flags_selects_the_same_lanes()
    {
        byte* flags = stackalloc byte[8];
        for (int pattern = 0; pattern < 256; pattern++)
        {
            for (int i = 0; i < 8; i++) flags[i] = (byte)(pattern >> i & 1);
            Vector256<float> chosen = Vector256.ConditionalSelect(VectorCodes.LoadMask(flags), Vector256.Create(1f), Vector256.Create(2f));
            for (int i = 0; i < 8; i++) Assert.Equal(flags[i] == 1 ? 1 : 2, chosen[i]);
        }
    }
}
