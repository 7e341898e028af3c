using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class OptimizerTests
{
    [Fact]
    public void AdamWFollowsItsDefinition()
    {
        const int count = 37;
        using Parameter parameter = new("w", count) { Trainable = true };
        using WorkerPool pool = new(2);
        AdamWOptions options = new() { Beta1 = 0.8f, Beta2 = 0.95f, Epsilon = 1e-3f, WeightDecay = 0.1f };
        using AdamW optimizer = new(pool, [parameter], options);
        SplitMix64 random = new(1);
        double[] w = new double[count], m = new double[count], v = new double[count];
        for (int i = 0; i < count; i++) w[i] = parameter.Value.Floats[i] = (float)random.NextDouble();
        for (int step = 1; step <= 5; step++)
        {
            double rate = 0.1 / step;
            for (int i = 0; i < count; i++)
            {
                float gradient = parameter.Gradient!.Floats[i] = (float)(random.NextDouble() - 0.5);
                double g = 0.5 * gradient;
                m[i] = 0.8 * m[i] + 0.2 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                w[i] -= rate * 0.1 * w[i];
                w[i] -= rate * m[i] / (1 - Math.Pow(0.8, step)) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.95, step))) + 1e-3);
            }
            optimizer.Step(step, rate, gradientScale: 0.5f);
            for (int i = 0; i < count; i++) Assert.Equal(w[i], parameter.Value.Floats[i], 1e-5);
        }
    }

    [Fact]
    public void EightBitMeansAreTheNearestLevelsOfTheirBlock()
    {
        const int count = 2 * RunningMeans.Block + 5;
        foreach (bool signed in new[] { true, false })
        {
            float[] levels = RunningMeans.DynamicMap(signed);
            Assert.Equal(256, levels.Distinct().Count());
            Assert.Equal(1, levels[^1]);
            Assert.Contains(0, levels);
            using RunningMeans means = new(count, eightBit: true, signed);
            Assert.True(means.Values.Bytes + means.Scales!.Bytes < 1.03 * count);
            SplitMix64 random = new(1);
            float* scratch = stackalloc float[RunningMeans.Block];
            for (int block = 0; block < 3; block++)
            {
                int length = Math.Min(RunningMeans.Block, count - block * RunningMeans.Block);
                float* read = means.Read(block, scratch);
                for (int i = 0; i < length; i++) Assert.Equal(0, read[i]);
                float[] values = [.. Enumerable.Range(0, length).Select(i => (float)(Math.Pow(10, -6 * random.NextDouble()) * (signed && i % 2 == 0 ? -3 : 3)))];
                for (int i = 0; i < length; i++) read[i] = values[i];
                means.Write(block, read);
                float largest = values.Max(Math.Abs);
                read = means.Read(block, scratch);
                for (int i = 0; i < length; i++)
                {
                    float value = values[i];
                    Assert.Equal(levels.Min(level => Math.Abs(largest * level - value)), Math.Abs(read[i] - value), 1e-6 * largest);
                }
            }
        }
    }

    [Fact]
    public void TrainingWithEightBitMeansIsNearThatWithFloatsAndGoesOnFromItsCheckpointToTheLastBit()
    {
        using TestKit.TemporaryFolder folder = new();
        using WorkerPool pool = new(2);
        TrainingOptions options = Tiny.Options with { Optimizer = new AdamWOptions { EightBit = true } };
        using TrainableModel plain = Tiny.Model(), whole = Tiny.Model(), first = Tiny.Model(), second = Tiny.Model();
        double[] floats = Tiny.Train(plain, Tiny.Options, 8), losses = Tiny.Train(whole, options, 8);
        Assert.NotEqual(floats, losses);
        Assert.Equal(floats[^1], losses[^1], 0.05 * floats[^1]);
        Assert.True(losses[^1] < losses[0] - 0.1);
        string path = folder.File("checkpoint.safetensors");
        using (Trainer trainer = new(first, Tiny.Data(), options, pool))
        {
            for (int i = 0; i < 3; i++) trainer.Step();
            trainer.Save(path, "same");
        }
        using Trainer resumed = new(second, Tiny.Data(), options, pool);
        resumed.Resume(path, "same");
        Assert.Equal(losses[3..], Enumerable.Range(0, 5).Select(_ => resumed.Step().Loss));
        using Trainer other = new(first, Tiny.Data(), Tiny.Options, pool);
        Assert.Contains("F32", Assert.Throws<LowbitFormatException>(() => other.Resume(path, "same")).Message);
    }

    [Fact]
    public void TheNormIsThatOfAllGradients()
    {
        using Parameter first = new("a", 3, 5000) { Trainable = true }, second = new("b", 7) { Trainable = true };
        using WorkerPool one = new(1), three = new(3);
        double sum = 0;
        SplitMix64 random = new(1);
        foreach (Parameter parameter in new[] { first, second })
        {
            for (int i = 0; i < parameter.Count; i++)
            {
                float g = parameter.Gradient!.Floats[i] = (float)(random.NextDouble() - 0.5);
                sum += (double)g * g;
            }
        }
        Assert.Equal(Math.Sqrt(sum), GradientNorm.Of(one, [first, second]), 1e-9);
        Assert.Equal(GradientNorm.Of(one, [first, second]), GradientNorm.Of(three, [first, second]));
    }

    [Fact]
    public void LearningRatesGoUpAndDown()
    {
        LearningRateSchedule cosine = new(1, 100, 10, Decay.Cosine), linear = cosine with { Decay = Decay.Linear }, constant = cosine with { Decay = Decay.Constant };
        Assert.Equal([0.1, 0.5, 1.0], new[] { 0, 4, 9 }.Select(cosine.At));
        Assert.Equal(1, cosine.At(10));
        Assert.Equal(0.5, cosine.At(55), 12);
        Assert.Equal(0.5 * (1 + Math.Cos(Math.PI * 89 / 90)), cosine.At(99), 12);
        Assert.Equal(0.5, linear.At(55), 12);
        Assert.Equal(1, constant.At(99));
        Assert.Equal(1, (cosine with { WarmUp = 0 }).At(0));
    }
}
