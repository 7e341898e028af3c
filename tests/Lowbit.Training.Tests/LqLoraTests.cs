using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Data;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class LqLoraTests : IDisposable
{
    private const int Rows = 24, Columns = 40, Rank = 4;

    private static readonly RtnOptions s_grid = new() { Bits = 2, GroupSize = 20 };

    private readonly WorkerPool _pool = new(2);

    public void Dispose() => _pool.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AWeightOfThatRankNeedsNoQuantizer(bool weighted)
    {
        float[] left = Numbers(Rows * Rank, 1), right = Numbers(Rank * Columns, 2), weight = new float[Rows * Columns];
        for (int i = 0; i < weight.Length; i++)
            for (int k = 0; k < Rank; k++) weight[i] += left[i / Columns * Rank + k] * right[k * Columns + i % Columns];
        AdapterStart start = Begin(weight, rounds: 1, weighted ? Slopes() : null);
        double size = Math.Sqrt(weight.Sum(w => (double)w * w));
        Assert.True(Norm(start.Quantized.Dequantized) < 1e-4 * size);
        Assert.True(Norm(Rest(weight, start)) < 1e-4 * size);
    }

    [Fact]
    public void ItIsNearerThanLoftQWhereTheAdapterGoesFirst()
    {
        // Two large directions, which two bits cannot hold beside small numbers.
        float[] weight = Numbers(Rows * Columns, 3), left = Numbers(Rows * Rank, 1), right = Numbers(Rank * Columns, 2);
        for (int i = 0; i < weight.Length; i++)
            for (int k = 0; k < Rank; k++) weight[i] = weight[i] + 10 * left[i / Columns * Rank + k] * right[k * Columns + i % Columns];
        double plain = Norm(Rest(weight, LoftQ.Begin(Layer(weight), s_grid, Rank, 1, _pool))), ours = Norm(Rest(weight, Begin(weight, 5, null)));
        Assert.True(ours < 0.7 * plain, $"{ours}, LoftQ {plain}");
    }

    [Fact]
    public void WeightsTurnTheAdapterToWhatCounts()
    {
        float[] weight = Numbers(Rows * Columns, 3);
        SeparableWeights weights = Slopes();
        double Weighted(AdapterStart start) => Norm([.. Rest(weight, start).Select((rest, i) => rest * weights.Rows[i / Columns] * weights.Columns[i % Columns])]);
        double blind = Weighted(Begin(weight, 5, null)), seeing = Weighted(Begin(weight, 5, weights));
        Assert.True(seeing < 0.8 * blind, $"{seeing}, without weights {blind}");
    }

    [Fact]
    public void MoreRoundsAreNeverWorse()
    {
        float[] weight = Numbers(Rows * Columns, 3);
        double before = double.PositiveInfinity;
        foreach (int rounds in new[] { 1, 2, 5, 20 })
        {
            double error = Norm(Rest(weight, Begin(weight, rounds, null)));
            Assert.True(error <= before);
            before = error;
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void AnErrorThatIsNoNumberIsRefused(int rounds)
    {
        SeparableWeights weights = Slopes() with { Scale = double.NaN };
        Assert.Contains("look for NaN", Assert.Throws<LowbitException>(() => Begin(Numbers(Rows * Columns, 3), rounds, weights)).Message);
    }

    [Fact]
    public void BitsGoWhereTheErrorIs()
    {
        // One matrix is of the adapter's rank, so two bits lose nothing of it; another is a hundred times as large as the third.
        float[] low = new float[Rows * Columns], left = Numbers(Rows * Rank, 1), right = Numbers(Rank * Columns, 2), noise = Numbers(Rows * Columns, 3);
        for (int i = 0; i < low.Length; i++)
            for (int k = 0; k < Rank; k++) low[i] += left[i / Columns * Rank + k] * right[k * Columns + i % Columns];
        LinearLayer[] layers = [new("low", Rows, Columns, low), new("large", Rows, Columns, Array.ConvertAll(noise, x => 100 * x)), new("small", Rows, Columns, noise)];
        LinearSensitivity[] measured = [.. layers.Select(layer => LqLoraBits.Measure(layer, Rank, 3, null, _pool))];
        double Bits(params int[] candidates) => measured.Zip(candidates, (linear, candidate) => linear.Bits[candidate]).Average();
        int last = LqLoraBits.Candidates.Length - 1;
        IReadOnlyDictionary<string, MethodOptions> chosen = LqLoraBits.Choose(measured, Bits(0, last, 0));
        Assert.Equal((LqLoraBits.Candidates[0], LqLoraBits.Candidates[^1], LqLoraBits.Candidates[0]), (chosen["low"], chosen["large"], chosen["small"]));
        Assert.Throws<LowbitException>(() => LqLoraBits.Choose(measured, 0.99 * measured.Average(linear => linear.Bits.Min())));

        // Where the small one counts ten thousand times as much, it is the other way round.
        SeparableWeights weights = new([.. Enumerable.Repeat(1f, Rows)], [.. Enumerable.Repeat(1f, Columns)], 10_000);
        measured[2] = LqLoraBits.Measure(layers[2], Rank, 3, weights, _pool);
        chosen = LqLoraBits.Choose(measured, Bits(0, 0, last));
        Assert.Equal((LqLoraBits.Candidates[0], LqLoraBits.Candidates[^1]), (chosen["large"], chosen["small"]));
    }

    [Fact]
    public void MixedBitsAreNeverWorseThanTheSameEverywhereAndKeepTheBudget()
    {
        using TrainableModel model = Tiny.Model();
        LinearSensitivity[] measured = [.. model.Linears.Select((linear, i) =>
        {
            // Sizes of weights differ, as they do in trained models.
            float[] weight = [.. linear.Weight.Value.Span<float>(0, (int)linear.Weight.Count).ToArray().Select(w => w * (1 + i % 5))];
            return LqLoraBits.Measure(new LinearLayer(linear.Name, linear.Weight.Rows, linear.Weight.Columns, weight), Rank, 2, null, _pool);
        })];
        double weights = measured.Sum(linear => linear.Weights);
        for (int c = 0; c < LqLoraBits.Candidates.Length; c++)
        {
            double size = measured.Sum(linear => linear.Bits[c] * linear.Weights), same = measured.Sum(linear => linear.Errors[c]);
            IReadOnlyDictionary<string, MethodOptions> chosen = LqLoraBits.Choose(measured, size / weights);
            (LinearSensitivity Linear, int Candidate)[] pairs = [.. measured.Select(linear => (linear, LqLoraBits.Candidates.IndexOf(chosen[linear.Name])))];
            Assert.True(pairs.Sum(pair => pair.Linear.Bits[pair.Candidate] * pair.Linear.Weights) <= size * (1 + 1e-9));
            double mixed = pairs.Sum(pair => pair.Linear.Errors[pair.Candidate]);
            Assert.True(mixed <= same * (1 + 1e-9), $"{mixed}, the same everywhere {same}");
            if (c is > 0 and < 4) Assert.True(mixed < 0.98 * same, $"{mixed}, the same everywhere {same}");
        }
    }

    [Fact]
    public void FisherIsTheMeanOfSquaredGradients()
    {
        using TrainableModel model = Tiny.Model();
        TokenWindows data = Tiny.Data();
        IReadOnlyDictionary<string, SeparableWeights> found = FisherDiagonal.Measure(model, data, 2, _pool);
        TrainableLinear linear = model.Linears.Last();
        Assert.False(linear.Weight.Trainable);
        linear.Weight.Trainable = true;
        double[] squares = new double[linear.Weight.Count];
        int[] ids = new int[data.Length];
        using TrainingPass pass = new(model, _pool, 1, data.Length);
        for (int w = 0; w < 2; w++)
        {
            data.Fill(w, ids);
            model.ClearGradients();
            pass.Run(ids);
            for (int i = 0; i < squares.Length; i++) squares[i] += Math.Pow(linear.Weight.Gradient!.Floats[i], 2) / 2;
        }
        int columns = linear.Weight.Columns;
        double mean = squares.Average(Math.Sqrt);
        SeparableWeights weights = found[linear.Name];
        Assert.Equal(mean, weights.Scale, 1e-4 * mean);
        for (int r = 0; r < linear.Weight.Rows; r++)
            Assert.Equal(Math.Max(1e-3, squares.Skip(r * columns).Take(columns).Average(Math.Sqrt) / mean), weights.Rows[r], 1e-4);
        for (int c = 0; c < columns; c++)
            Assert.Equal(Math.Max(1e-3, Enumerable.Range(0, linear.Weight.Rows).Average(r => Math.Sqrt(squares[r * columns + c])) / mean), weights.Columns[c], 1e-4);
    }

    [Fact]
    public void WithoutAnyGradientAllErrorsCountAlike()
    {
        SeparableWeights weights = FisherDiagonal.Separate(new float[6], 2, 3);
        Assert.All(weights.Rows.Concat(weights.Columns), weight => Assert.Equal(1, weight));
    }

    private AdapterStart Begin(float[] weight, int rounds, SeparableWeights? weights) => LqLora.Begin(Layer(weight), s_grid, Rank, rounds, weights, _pool);

    private static LinearLayer Layer(float[] weight) => new("w", Rows, Columns, weight);

    // The first columns and rows count a hundred times as much as the last ones.
    private static SeparableWeights Slopes() => new(
        [.. Enumerable.Range(0, Rows).Select(i => MathF.Pow(100, -(float)i / Rows))], [.. Enumerable.Range(0, Columns).Select(i => MathF.Pow(100, -(float)i / Columns))]);

    private static float[] Rest(float[] weight, AdapterStart start)
    {
        float[] rest = new float[weight.Length];
        for (int i = 0; i < rest.Length; i++)
        {
            double product = 0;
            for (int k = 0; k < start.Rank; k++) product += (double)start.Left[i / Columns * start.Rank + k] * start.Right[k * Columns + i % Columns];
            rest[i] = (float)(weight[i] - start.Quantized.Dequantized[i] - product);
        }
        return rest;
    }

    private static double Norm(float[] values) => Math.Sqrt(values.Sum(value => (double)value * value));

    private static float[] Numbers(int count, ulong seed)
    {
        SplitMix64 random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5))];
    }
}
