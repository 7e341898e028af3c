using System;
using System.Collections.Generic;
using System.Linq;
using FsCheck.Xunit;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Inference.Tests;

public class SamplerTests
{
    private static readonly float[] s_logits = Logits(0.4, 0.3, 0.15, 0.1, 0.05);

    [Fact]
    public void TemperatureZeroTakesTheBestAndOfEqualOnesTheFirst()
    {
        var sampler = new Sampler(new SamplingOptions(), 4);
        Assert.Equal(1, sampler.Sample([0, 3, 3, 2]));
        Assert.Equal(3, sampler.Sample([float.NegativeInfinity, -3, -3, -2]));
    }

    [Fact]
    public void FrequenciesFollowTheProbabilities() => AssertFrequencies(new SamplingOptions { Temperature = 1 }, [0.4, 0.3, 0.15, 0.1, 0.05]);

    [Fact]
    public void TemperatureTwoTakesRoots()
    {
        double[] roots = [.. new[] { 0.4, 0.3, 0.15, 0.1, 0.05 }.Select(Math.Sqrt)];
        AssertFrequencies(new SamplingOptions { Temperature = 2 }, [.. roots.Select(r => r / roots.Sum())]);
    }

    [Fact]
    public void TopKKeepsTheBest() => AssertFrequencies(new SamplingOptions { Temperature = 1, TopK = 2 }, [0.4 / 0.7, 0.3 / 0.7, 0, 0, 0]);

    [Fact]
    public void TopPKeepsTheFewestThatHoldTheShare()
    {
        AssertFrequencies(new SamplingOptions { Temperature = 1, TopP = 0.5 }, [0.4 / 0.7, 0.3 / 0.7, 0, 0, 0]);
        AssertFrequencies(new SamplingOptions { Temperature = 1, TopP = 0.3 }, [1, 0, 0, 0, 0]);
    }

    [Fact]
    public void TopPCountsWithinTopK() => AssertFrequencies(new SamplingOptions { Temperature = 1, TopK = 2, TopP = 0.5 }, [1, 0, 0, 0, 0]);

    [Fact]
    public void MinPIsRelativeToTheBest() => AssertFrequencies(new SamplingOptions { Temperature = 1, MinP = 0.3 }, [0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0]);

    [Fact]
    public void TheSameSeedDrawsTheSameTokens()
    {
        float[] logits = Random(1000, 3);
        var options = new SamplingOptions { Temperature = 1, Seed = 42, TopP = 0.9 };
        Sampler one = new(options, 1000), two = new(options, 1000), other = new(options with { Seed = 43 }, 1000);
        int[] first = [.. Enumerable.Range(0, 50).Select(_ => one.Sample(logits))];
        Assert.Equal(first, Enumerable.Range(0, 50).Select(_ => two.Sample(logits)));
        Assert.NotEqual(first, Enumerable.Range(0, 50).Select(_ => other.Sample(logits)));
    }

    [Fact]
    public void ASeedMeansTheSameTextForever()
    {
        // The first numbers of SplitMix64 with seed 0, from its authors' reference program.
        var random = new SplitMix64(0);
        Assert.Equal(0xE220A8397B1DCDAFUL, random.Next());
        Assert.Equal(0x6E789E6AA1B965F4UL, random.Next());
        Assert.Equal(0x06C45D188009454FUL, random.Next());
    }

    [Property(MaxTest = 200)]
    public void SelectionKeepsWhatASortWould(int seed, byte size, byte k, bool ties)
    {
        int vocabulary = size + 1, kept = k % vocabulary + 1;
        float[] logits = Random(vocabulary, seed);
        if (ties)
        {
            for (int i = 0; i < vocabulary; i++) logits[i] = MathF.Round(logits[i]);
        }
        HashSet<int> best = [.. Enumerable.Range(0, vocabulary).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(kept)];
        var sampler = new Sampler(new SamplingOptions { Temperature = 5, TopK = kept, Seed = (ulong)(uint)seed }, vocabulary);
        for (int i = 0; i < 50; i++) Assert.Contains(sampler.Sample(logits), best);
    }

    [Property(MaxTest = 200)]
    public void TheNucleusIsWhatASortWouldGive(int seed, byte size, byte share)
    {
        int vocabulary = size + 1;
        double topP = (share + 1) / 257.0;
        float[] logits = Random(vocabulary, seed);
        double[] weights = [.. logits.Select(l => Math.Exp(l - (double)logits.Max()))];
        HashSet<int> nucleus = [];
        double sum = 0;
        foreach (int i in Enumerable.Range(0, vocabulary).OrderByDescending(i => weights[i]))
        {
            nucleus.Add(i);
            sum += weights[i];
            if (sum >= topP * weights.Sum() * (1 + 1e-12)) break;
        }
        var sampler = new Sampler(new SamplingOptions { Temperature = 1, TopP = topP, Seed = (ulong)(uint)seed }, vocabulary);
        for (int i = 0; i < 50; i++) Assert.Contains(sampler.Sample(logits), nucleus);
    }

    [Fact]
    public void AForbiddenTokenIsNeverDrawn()
    {
        var sampler = new Sampler(new SamplingOptions { Temperature = 100 }, 3);
        for (int i = 0; i < 1000; i++) Assert.NotEqual(1, sampler.Sample([0, float.NegativeInfinity, 0]));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void OutputThatIsNoNumberIsRefused(float bad)
    {
        foreach (double temperature in new[] { 0.0, 1.0 })
        {
            var sampler = new Sampler(new SamplingOptions { Temperature = temperature }, 3);
            Assert.Throws<LowbitException>(() => sampler.Sample([0, bad, 0]));
        }
    }

    [Fact]
    public void OptionsOutOfRangeAreRefused()
    {
        foreach (SamplingOptions options in new SamplingOptions[] { new() { Temperature = -1 }, new() { Temperature = double.NaN }, new() { TopK = -1 }, new() { TopP = 0 }, new() { TopP = 1.1 }, new() { MinP = -0.1 } })
            Assert.Throws<LowbitException>(() => new Sampler(options, 10));
    }

    [Fact]
    public void DrawingAllocatesNothing()
    {
        float[] logits = Random(5000, 1);
        var sampler = new Sampler(new SamplingOptions { Temperature = 1, TopK = 100, TopP = 0.9, MinP = 0.01 }, 5000);
        sampler.Sample(logits);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) sampler.Sample(logits);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    // Pearson's chi-squared over 20000 draws; 30 with up to 4 degrees of freedom has probability below 1e-5, and seeds are fixed.
    private static void AssertFrequencies(SamplingOptions options, double[] expected)
    {
        const int draws = 20000;
        var sampler = new Sampler(options with { Seed = 11 }, expected.Length);
        int[] counts = new int[expected.Length];
        for (int i = 0; i < draws; i++) counts[sampler.Sample(s_logits)]++;
        double chiSquared = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i] == 0) Assert.Equal(0, counts[i]);
            else chiSquared += Math.Pow(counts[i] - draws * expected[i], 2) / (draws * expected[i]);
        }
        Assert.InRange(chiSquared, 0, 30);
    }

    private static float[] Logits(params double[] probabilities) => [.. probabilities.Select(p => (float)Math.Log(p))];

    private static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 8 - 4))];
    }
}
