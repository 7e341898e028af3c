using System;
using System.Linq;
using FsCheck.Xunit;
using Lowbit.Evaluation;
using Xunit;

namespace Lowbit.Inference.Tests;

public unsafe class LogProbabilityTests
{
    [Fact]
    public void AKnownDistribution()
    {
        float[] logits = [MathF.Log(0.5f), MathF.Log(0.25f), MathF.Log(0.125f), MathF.Log(0.125f)];
        fixed (float* p = logits)
        {
            Assert.Equal(Math.Log(2), LogProbability.NegativeLogLikelihood(p, 4, 0), 6);
            Assert.Equal(Math.Log(8), LogProbability.NegativeLogLikelihood(p, 4, 3), 6);
        }
    }

    [Fact]
    public void AUniformDistributionOverAnyVocabulary()
    {
        foreach (int vocabulary in new[] { 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 49152 })
        {
            float[] logits = [.. Enumerable.Repeat(-3.25f, vocabulary)];
            fixed (float* p = logits) Assert.Equal(Math.Log(vocabulary), LogProbability.NegativeLogLikelihood(p, vocabulary, vocabulary - 1), 9);
        }
    }

    [Property(MaxTest = 200)]
    public void AgreesWithDoubleArithmetic(int seed, ushort size)
    {
        int vocabulary = size % 300 + 1;
        float[] a = Random(vocabulary, seed), b = Random(vocabulary, seed + 1);
        double[] p = Softmax(a), q = Softmax(b);
        double divergence = p.Zip(q, (x, y) => x * (Math.Log(x) - Math.Log(y))).Sum();
        fixed (float* pa = a, pb = b)
        {
            Assert.Equal(-Math.Log(p[vocabulary / 2]), LogProbability.NegativeLogLikelihood(pa, vocabulary, vocabulary / 2), 9);
            Assert.Equal(divergence, LogProbability.Divergence(pa, pb, vocabulary), 9);
            Assert.Equal(Array.IndexOf(a, a.Max()), LogProbability.ArgMax(pa, vocabulary));
        }
    }

    [Fact]
    public void LargeLogitsDoNotOverflowAndForbiddenTokensWeighNothing()
    {
        float[] logits = [1e6f, 1e6f, float.NegativeInfinity, -1e30f, 1e6f, 1e6f, -1e6f, 0, 0, 0];
        fixed (float* p = logits) Assert.Equal(Math.Log(4), LogProbability.NegativeLogLikelihood(p, logits.Length, 1), 9);
    }

    [Fact]
    public void ALogitThatIsNoNumberShowsInTheResult()
    {
        for (int bad = 0; bad < 20; bad++)
        {
            float[] logits = new float[20], good = new float[20];
            logits[bad] = float.NaN;
            fixed (float* p = logits, q = good)
            {
                Assert.True(double.IsNaN(LogProbability.NegativeLogLikelihood(p, 20, 0)));
                Assert.True(double.IsNaN(LogProbability.Divergence(p, q, 20)));
                Assert.True(double.IsNaN(LogProbability.Divergence(q, p, 20)));
            }
        }
    }

    [Fact]
    public void ADistributionDoesNotDivergeFromItself()
    {
        float[] logits = Random(1000, 5);
        fixed (float* p = logits) Assert.InRange(LogProbability.Divergence(p, p, 1000), 0, 1e-9);
    }

    private static double[] Softmax(float[] logits)
    {
        double max = logits.Max();
        double[] weights = [.. logits.Select(l => Math.Exp(l - max))];
        return [.. weights.Select(w => w / weights.Sum())];
    }

    private static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 20 - 10))];
    }
}
