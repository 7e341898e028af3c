using System;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;
using Xunit.Abstractions;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class SqueezeLlmTests(ITestOutputHelper log)
{
    [Fact]
    public void Two_levels_by_hand()
    {
        // Sensitivities 1, 3, 1, 1: the levels are (0 · 1 + 0.5 · 3) / 4 = 0.375 and (2 + 3) / 2 = 2.5.
        float[] h = [1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
        using Hessian hessian = Hessian.FromMatrix("sample", h, 4);
        QuantizedMatrix result = new SqueezeLlmOptions { Bits = 1, Share = 0 }.Quantize(new LinearLayer("sample", 1, 4, new float[] { 2, 0.5f, 0, 3 }, hessian), Samples.Pool);
        Assert.Equal([2.5f, 0.375f, 0.375f, 2.5f], result.Dequantized);
        Assert.Equal([0.375f, 2.5f], ((CodebookCodes)result.Codes).Levels);
    }

    [Fact]
    public void Enough_levels_are_exact()
    {
        float[] values = [-1, -0.25f, 0.125f, 0.75f, 2, 2.5f];
        float[] weight = [.. Enumerable.Range(0, 5 * 30).Select(i => values[i * 7 % 6] * (i / 30 + 1))];
        LinearLayer sample = Samples.Layer(5, 30, 1);
        QuantizedMatrix result = new SqueezeLlmOptions { Bits = 3, Share = 0, ScalePrecision = ScalePrecision.Float16 }.Quantize(new LinearLayer("sample", 5, 30, weight, sample.Hessian), Samples.Pool);
        Assert.Equal(weight, result.Dequantized);
    }

    [Fact]
    public void Weights_set_apart_are_in_half_precision_and_are_as_many_as_asked_for()
    {
        LinearLayer layer = Samples.Layer(40, 50, 2);
        QuantizedMatrix result = new SqueezeLlmOptions { Bits = 2, Share = 0.02 }.Quantize(layer, Samples.Pool);
        var sparse = (SparseCodes)((CompositeCodes)result.Codes).Terms[1].Codes;
        Assert.Equal(40, sparse.Values.Length);
        for (int r = 0; r < 40; r++)
            for (int i = sparse.RowStarts[r]; i < sparse.RowStarts[r + 1]; i++)
            {
                int at = r * 50 + sparse.ColumnIndices[i];
                Assert.Equal(layer.Weight.Span[at], result.Dequantized[at], 1e-4f);
            }
        float[] sizes = Array.ConvertAll(layer.Weight.ToArray(), MathF.Abs);
        Array.Sort(sizes);
        int largest = Enumerable.Range(0, 2000).Count(i => MathF.Abs(layer.Weight.Span[i]) >= sizes[^36] && MathF.Abs(layer.Weight.Span[i] - result.Dequantized[i]) < 1e-4f);
        Assert.InRange(largest, 35, 36); // 36 of 40 by size, unless one of these is among the most sensitive ones, too
        Assert.Equal(2 + 48 * 0.02, result.NominalBitsPerWeight, 1e-9);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Loses_less_than_equal_steps_and_less_with_weights_apart(int bits)
    {
        LinearLayer layer = Samples.Layer(40, 128, 3);
        double rounded = new RtnOptions { Bits = bits }.Quantize(layer, Samples.Pool).OutputError!.Value;
        double dense = new SqueezeLlmOptions { Bits = bits, Share = 0 }.Quantize(layer, Samples.Pool).OutputError!.Value;
        double sparse = new SqueezeLlmOptions { Bits = bits }.Quantize(layer, Samples.Pool).OutputError!.Value;
        Assert.True(dense < 0.7 * rounded && sparse < dense, $"rounding {rounded}, dense {dense}, sparse {sparse}");
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(7, 3)]
    [InlineData(9, 4)]
    [InlineData(3, 8)]
    public void Levels_are_the_best_of_all_divisions(int count, int levels)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            float[] values = Samples.Normal(count, seed);
            Array.Sort(values);
            double[] weights = Array.ConvertAll(Samples.Normal(count, seed + 100), x => 0.01 + x * x);
            var found = new float[levels];
            double error = new OptimalLevels(count, levels).Fit(values, weights, found);
            Assert.Equal(Exhaustive(values, weights, 0, levels), error, 1e-9);
            Assert.Equal(error, Nearest(values, weights, found), 1e-6);
            Assert.Equal(found.Order(), found);
        }
    }

    [Fact]
    public void Lloyds_iteration_is_never_better()
    {
        double sum = 0;
        for (int seed = 0; seed < 10; seed++)
        {
            float[] values = Samples.Normal(576, seed);
            Array.Sort(values);
            double[] weights = Array.ConvertAll(Samples.Normal(576, seed + 100), x => Math.Exp(2 * x));
            double exact = new OptimalLevels(576, 8).Fit(values, weights, new float[8]), lloyd = Lloyd(values, weights, 8, seed);
            Assert.True(exact <= lloyd * (1 + 1e-9), $"{exact} but {lloyd}");
            sum += lloyd / exact;
        }
        log.WriteLine($"RESULT error of Lloyd's iteration from k-means++ over that of the exact levels, mean of 10: {sum / 10:f4}");
    }

    private static double Exhaustive(float[] values, double[] weights, int start, int levels)
    {
        if (start == values.Length) return 0;
        if (levels == 0) return double.PositiveInfinity;
        double best = double.PositiveInfinity;
        for (int end = start + 1; end <= values.Length; end++)
        {
            double weight = 0, mean = 0, error = 0;
            for (int i = start; i < end; i++) (weight, mean) = (weight + weights[i], mean + weights[i] * values[i]);
            for (int i = start; i < end; i++) error += weights[i] * Math.Pow(values[i] - mean / weight, 2);
            best = Math.Min(best, error + Exhaustive(values, weights, end, levels - 1));
        }
        return best;
    }

    private static double Nearest(float[] values, double[] weights, float[] levels) =>
        Enumerable.Range(0, values.Length).Sum(i => weights[i] * levels.Min(level => Math.Pow(values[i] - level, 2)));

    // k-means++ and at most 50 rounds, as SqueezeLLM's repository asks for.
    private static double Lloyd(float[] values, double[] weights, int count, int seed)
    {
        var random = new Random(seed);
        var levels = new float[count];
        for (int k = 0; k < count; k++)
        {
            double[] shares = [.. Enumerable.Range(0, values.Length).Select(i => weights[i] * (k == 0 ? 1 : levels[..k].Min(level => Math.Pow(values[i] - level, 2))))];
            double target = random.NextDouble() * shares.Sum();
            int chosen = 0;
            while (chosen < values.Length - 1 && (target -= shares[chosen]) > 0) chosen++;
            levels[k] = values[chosen];
        }
        for (int round = 0; round < 50; round++)
        {
            double[] sums = new double[count], totals = new double[count];
            for (int i = 0; i < values.Length; i++)
            {
                int best = 0;
                for (int k = 1; k < count; k++)
                    if (MathF.Abs(values[i] - levels[k]) < MathF.Abs(values[i] - levels[best])) best = k;
                (sums[best], totals[best]) = (sums[best] + weights[i] * values[i], totals[best] + weights[i]);
            }
            for (int k = 0; k < count; k++)
                if (totals[k] > 0) levels[k] = (float)(sums[k] / totals[k]);
        }
        return Nearest(values, weights, levels);
    }
}
