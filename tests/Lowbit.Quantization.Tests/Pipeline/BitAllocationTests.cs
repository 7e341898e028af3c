using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Pipeline;
using Xunit;

namespace Lowbit.Quantization.Tests.Pipeline;

public sealed class BitAllocationTests
{
    [Theory]
    [InlineData(1, 3.0)]
    [InlineData(2, 2.4)]
    [InlineData(3, 5.0)]
    [InlineData(4, 7.9)]
    public void NoOtherChoiceOfTheSizeCostsLess(int seed, double target)
    {
        LinearSensitivity[] linears = Linears(seed, 6);
        int[] chosen = BitAllocation.Choose(linears, target);
        Assert.True(Size(linears, chosen) <= target * linears.Sum(linear => linear.Weights), "too large");

        double best = double.PositiveInfinity;
        int[] all = new int[linears.Length];
        for (int n = 0; n < Math.Pow(4, linears.Length); n++)
        {
            for (int i = 0, rest = n; i < all.Length; i++, rest /= 4) all[i] = rest % 4;
            // A thousandth less than the size: the table rounds sizes up to parts of 65536.
            if (Size(linears, all) <= 0.999 * target * linears.Sum(linear => linear.Weights)) best = Math.Min(best, Cost(linears, all));
        }
        Assert.True(Cost(linears, chosen) <= best * (1 + 1e-12), $"{Cost(linears, chosen)} but {best} is possible");
    }

    [Fact]
    public void TheSensitiveLinearGetsTheBits()
    {
        LinearSensitivity Of(string name, double divergence) => new(name, 1000, [2, 3, 4], [0.2, 0.05, 0.0125], 1, divergence);
        Assert.Equal([0, 2], BitAllocation.Choose([Of("dull", 0.001), Of("keen", 0.1)], 3));
        Assert.Equal([1, 1], BitAllocation.Choose([Of("one", 0.1), Of("other", 0.1)], 3));
    }

    [Fact]
    public void ASizeBelowTheSmallestIsRefused()
    {
        LowbitException error = Assert.Throws<LowbitException>(() => BitAllocation.Choose(Linears(1, 3), 1.5));
        Assert.Contains("--target-bits 1.5", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ExactlyTheSmallestFits()
    {
        LinearSensitivity[] linears = [.. Linears(1, 7).Select(linear => linear with { Bits = [2, 3, 4, 8] })];
        Assert.All(BitAllocation.Choose(linears, 2), candidate => Assert.Equal(0, candidate));
    }

    [Theory]
    [InlineData("gptq", "bits", 6)]
    [InlineData("pb-gptq", "salient", 11)]
    public void CandidatesVaryWhatTheMethodHas(string method, string setting, int count)
    {
        BitTarget target = BitTarget.Create(3, method, new System.Collections.Generic.Dictionary<string, string> { ["damping"] = "0.02" }, ScalePrecision.Float16);
        Assert.Equal(count, target.Candidates.Select(candidate => candidate.Settings[setting]).Distinct().Count());
        Assert.All(target.Candidates, candidate => Assert.Equal("0.02", candidate.Settings["damping"]));
        Assert.All(target.Candidates, candidate => Assert.Equal(ScalePrecision.Float16, candidate.Options.ScalePrecision));
    }

    [Fact]
    public void AMethodOfOneSizeHasNothingToVary()
    {
        LowbitException error = Assert.Throws<LowbitException>(() => BitTarget.Create(3, "nf4", new System.Collections.Generic.Dictionary<string, string>(), ScalePrecision.Float16));
        Assert.Contains("nf4", error.Message, StringComparison.Ordinal);
    }

    private static LinearSensitivity[] Linears(int seed, int count)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(i => new LinearSensitivity(
            $"linear {i}", random.Next(100, 5000), [2.1, 3.1, 4.1, 8.1], [.. Enumerable.Range(1, 4).Select(b => Math.Pow(4, -b) * (0.5 + random.NextDouble()))], 1, random.NextDouble()))];
    }

    private static double Size(LinearSensitivity[] linears, int[] chosen) => linears.Select((linear, i) => linear.Bits[chosen[i]] * linear.Weights).Sum();

    private static double Cost(LinearSensitivity[] linears, int[] chosen) => linears.Select((linear, i) => linear.Cost(chosen[i])).Sum();
}
