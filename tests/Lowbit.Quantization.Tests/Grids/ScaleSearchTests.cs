using System;
using System.Linq;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Grids;

public sealed class ScaleSearchTests
{
    private static readonly ScaleRounding s_exact = new(ScalePrecision.Float32);

    [Fact]
    public void An_outlier_is_cut_off_where_the_others_gain_more()
    {
        // Two bits over 0 to 1.3 have the step 0.4333; nine weights at 0.3 lose 9 · 0.1333² = 0.16 by it. At 90 % of the range the step is
        // 0.39 and the loss 9 · 0.09² + 0.13² = 0.0898; 70 % gives 0.3033 and 9 · 0.0033² + 0.39² = 0.1522. The least lies between.
        float[] weights = [.. Enumerable.Repeat(0.3f, 9), 1.3f];
        UniformGrid whole = UniformGrid.Fit(weights, 2, symmetric: false, s_exact), best = UniformGrid.Fit(weights, 2, symmetric: false, s_exact, ScaleSearch.Mse);
        Assert.Equal(0.43333f, whole.Scale, 1e-5f);
        Assert.InRange(best.Scale, 0.33f, 0.39f);
        Assert.True(Loss(best, weights, 2) < 0.0898);
        // The larger exponent minds the outlier more.
        Assert.True(UniformGrid.Fit(weights, 2, symmetric: false, s_exact, ScaleSearch.Lp).Scale > best.Scale);
    }

    [Theory]
    [InlineData(ScaleSearch.Mse, 2.0)]
    [InlineData(ScaleSearch.Lp, 2.4)]
    public void What_is_found_is_never_worse_than_the_whole_range(ScaleSearch search, double exponent)
    {
        double before = 0, after = 0;
        for (int seed = 0; seed < 60; seed++)
        {
            float[] weights = Samples.Normal(7 + seed, seed, 0.02f);
            UniformGrid whole = UniformGrid.Fit(weights, 2 + seed % 5, seed % 2 == 0, s_exact), found = UniformGrid.Fit(weights, 2 + seed % 5, seed % 2 == 0, s_exact, search);
            Assert.True(Loss(found, weights, exponent) <= Loss(whole, weights, exponent) * (1 + 1e-6));
            before += Loss(whole, weights, exponent);
            after += Loss(found, weights, exponent);
        }
        Assert.True(after < 0.95 * before);
    }

    [Theory]
    [InlineData("rtn")]
    [InlineData("gptq")]
    [InlineData("gptaq")]
    [InlineData("owq")]
    public void Uniform_methods_take_it(string method)
    {
        LinearLayer layer = Samples.Layer(24, 96, 5);
        double Error(string search) => MethodRegistry.Find(method).Options(new System.Collections.Generic.Dictionary<string, string> { ["bits"] = "2", ["group-size"] = "-1", ["scale-search"] = search })
            .Quantize(layer, Samples.Pool).OutputError!.Value;
        Assert.True(Error("mse") < Error("minmax"));
        Assert.True(Error("lp") < Error("minmax"));
    }

    [Fact]
    public void One_bit_has_the_two_best_levels()
    {
        float[] weights = [-3, -1, 0, 2, 4, 6];
        LinearLayer layer = new("sample", 1, 6, weights);
        float[] Rounded(bool symmetric, ScaleSearch search) => new RtnOptions { Bits = 1, Symmetric = symmetric, ScaleSearch = search }.Quantize(layer, Samples.Pool).Dequantized;
        Assert.Equal([-3f, -3, -3, 6, 6, 6], Rounded(false, ScaleSearch.MinMax));
        Assert.Equal([-4 / 3f, -4 / 3f, -4 / 3f, 4, 4, 4], Rounded(false, ScaleSearch.Mse));
        Assert.Equal([-8 / 3f, -8 / 3f, 8 / 3f, 8 / 3f, 8 / 3f, 8 / 3f], Rounded(true, ScaleSearch.Mse).Select((w, i) => i == 2 ? MathF.Abs(w) : w));
        Assert.Equal(6, Rounded(true, ScaleSearch.MinMax)[5]);
    }

    private static double Loss(UniformGrid grid, float[] weights, double exponent) =>
        weights.Sum(w => Math.Pow(Math.Abs(w - grid.Decode(grid.Encode(w))), exponent));
}
