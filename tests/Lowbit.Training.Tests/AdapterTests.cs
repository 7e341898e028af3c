using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Kernels;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Lowbit.Training.Export;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class AdapterTests : IDisposable
{
    private const int Rank = 3, Group = 8, Length = 7;

    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);
    private readonly List<PackedWeight> _packed = [];

    public AdapterTests() => TinyLlama.Write(_folder.File("model"));

    public void Dispose()
    {
        foreach (PackedWeight weight in _packed) weight.Dispose();
        _pool.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(Group, true)]
    [InlineData(7, false)] // the last group of a row is shorter
    public void GradientsAreThoseOfTheMergedWeight(int groupSize, bool isPacked)
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel model = Adapted(source, isPacked, groupSize), merged = TrainableModel.From(source);
        int[] ids = TinyLlama.Ids(2 * Length);
        using TrainingPass pass = new(model, _pool, 2, Length);
        model.ClearGradients();
        double loss = pass.Run(ids);
        TrainableLinear[] linears = [.. model.Linears];
        foreach ((TrainableLinear from, TrainableLinear to) in linears.Zip(merged.Linears)) from.CopyMerged(_pool, to.Weight.Value.Floats);
        ReferenceLoss reference = new(merged, 2, Length, ids);
        Assert.Equal(reference.Compute(), loss, 1e-5);
        SplitMix64 random = new(7);
        foreach (TrainableLinear linear in linears)
        {
            double[] weight = reference.Tensors[linear.Weight.Name], original = [.. weight];
            LowRankAdapter adapter = linear.Adapter!;
            foreach (Parameter parameter in new[] { adapter.A, adapter.B })
            {
                double[] direction = [.. Enumerable.Range(0, (int)parameter.Count).Select(_ => random.NextDouble() < 0.5 ? -1.0 : 1.0)];
                double along = Enumerable.Range(0, direction.Length).Sum(i => direction[i] * parameter.Gradient!.Floats[i]);
                double length = Math.Sqrt(Enumerable.Range(0, direction.Length).Sum(i => Math.Pow(parameter.Gradient!.Floats[i], 2)));
                double At(double step)
                {
                    Shift(original, weight, linear, parameter, direction, step);
                    return reference.Compute();
                }
                double expected = (At(1e-5) - At(-1e-5)) / 2e-5;
                original.CopyTo(weight, 0);
                Assert.True(Math.Abs(along - expected) <= 2e-4 * length + 1e-6, $"{parameter}: {along}, differences say {expected}");
                Assert.True(length > 1e-5);
            }
        }
    }

    [Fact]
    public void APackedWeightHasNoFloatsAndGivesTheLossOfItsDequantizedForm()
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel packed = TrainableModel.From(source, Packed(source)), plain = TrainableModel.From(source);
        foreach ((TrainableLinear from, TrainableLinear to) in packed.Linears.Zip(plain.Linears))
        {
            Assert.Equal(0, from.Weight.Value.Bytes);
            from.CopyMerged(_pool, to.Weight.Value.Floats);
        }
        int[] ids = TinyLlama.Ids(3 * TinyLlama.Context);
        Assert.Equal(HeldOutLoss.Measure(plain, _pool, ids, TinyLlama.Context), HeldOutLoss.Measure(packed, _pool, ids, TinyLlama.Context), 1e-5);
        Assert.NotEqual(plain.Fingerprint(), packed.Fingerprint());
        Assert.DoesNotContain(packed.Parameters, parameter => packed.Linears.Any(linear => linear.Weight == parameter));
    }

    [Fact]
    public void MergedIntoZerosThePackedModelIsTheTrainedOne()
    {
        int[] ids = TinyLlama.Ids(5 * TinyLlama.Context);
        string output = _folder.File("packed");
        double begun, trained;
        using (LanguageModel source = LanguageModel.Open(_folder.File("model")))
        using (TrainableModel model = Adapted(source, isPacked: true, Group, zero: true))
        {
            begun = HeldOutLoss.Measure(model, _pool, ids, TinyLlama.Context);
            using (Trainer trainer = new(model, new Data.TokenWindows(ids, 32, 1), new TrainingOptions { Steps = 10, Batch = 2, Context = 32, LearningRate = 1e-2 }, _pool))
            {
                for (int i = 0; i < 10; i++) trainer.Step();
            }
            trained = HeldOutLoss.Measure(model, _pool, ids, TinyLlama.Context);
            PackedFolder.Write(new QuantizeOptions { Method = "qa-lora", MethodOptions = new RtnOptions(), Output = output }, model, source, _pool);
        }
        Assert.True(trained < begun - 0.05, $"{trained} after training, {begun} before");
        using LanguageModel packed = LanguageModel.Open(output);
        Assert.True(Assert.IsType<UniformMatrix>(packed.Blocks[0].Query!.Weight).Layout.RealZeros);
        ScoredText text = ScoredText.Cut(ids, PerplexityProtocol.Gptq, TinyLlama.Context, windows: 0, begin: null);
        Assert.Equal(trained, Math.Log(Perplexity.Measure(packed, _pool, ActivationMode.Float, text).Perplexity), 1e-5);
    }

    [Fact]
    public void MergedIntoFloatsTheModelIsTheTrainedOne()
    {
        int[] ids = TinyLlama.Ids(3 * TinyLlama.Context);
        string output = _folder.File("merged");
        double loss;
        using (LanguageModel source = LanguageModel.Open(_folder.File("model")))
        using (TrainableModel model = Adapted(source, isPacked: true, groupSize: 1))
        {
            loss = HeldOutLoss.Measure(model, _pool, ids, TinyLlama.Context);
            FloatFolder.Write(output, model, FloatFolder.ConfigOf(source), _folder.File("model"), _pool);
        }
        using LanguageModel merged = LanguageModel.Open(output);
        using TrainableModel again = TrainableModel.From(merged);
        Assert.Equal(loss, HeldOutLoss.Measure(again, _pool, ids, TinyLlama.Context), 1e-5);
    }

    [Fact]
    public void BesidePackedWeightsTheWrittenModelIsTheTrainedOne()
    {
        int[] ids = TinyLlama.Ids(5 * TinyLlama.Context);
        string output = _folder.File("separate");
        double trained;
        float[] row = new float[64], expected = new float[64];
        using (LanguageModel source = LanguageModel.Open(_folder.File("model")))
        using (TrainableModel model = Adapted(source, isPacked: true, groupSize: 1))
        {
            SeparateAdapter.Round(model);
            trained = HeldOutLoss.Measure(model, _pool, ids, TinyLlama.Context);
            PackedFolder.Write(new QuantizeOptions { Method = "qlora", MethodOptions = new RtnOptions(), Output = output }, model, source, _pool);
            fixed (float* values = expected) model.Blocks[0].Query!.Packed!.DequantizeRows(1, 1, values);
        }
        using LanguageModel packed = LanguageModel.Open(output);
        CompositeMatrix sum = Assert.IsType<CompositeMatrix>(packed.Blocks[0].Query!.Weight);
        fixed (float* values = row) Assert.IsType<UniformMatrix>(sum.Terms[0].Weight).DequantizeRows(1, 1, values);
        Assert.Equal(expected, row); // the packed weight is as it was, to the last bit
        Assert.Equal(Rank, Assert.IsType<LowRankMatrix>(sum.Terms[1].Weight).Rank);
        ScoredText text = ScoredText.Cut(ids, PerplexityProtocol.Gptq, TinyLlama.Context, windows: 0, begin: null);
        Assert.Equal(trained, Math.Log(Perplexity.Measure(packed, _pool, ActivationMode.Float, text).Perplexity), 1e-5);
        // A second adapter stands beside the first.
        using TrainableModel again = TrainableModel.From(packed, packed.Blocks[0].Linears().ToDictionary(entry => entry.Linear.Name, entry => entry.Linear.Weight));
        TrainableLinear query = again.Blocks[0].Query!;
        query.Use(new LowRankAdapter(query, 2, alpha: 4, seed: 1));
        Assert.Equal(3, Assert.IsType<CompositeCodes>(SeparateAdapter.Pack(query, _pool).Codes).Terms.Length);
    }

    [Fact]
    public void BesideFloatsThatHalfPrecisionDoesNotHoldNothingIsWritten()
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel model = Adapted(source, isPacked: false, groupSize: 1);
        TrainableLinear linear = model.Linears.First();
        foreach (ref float w in linear.Weight.Value.Span<float>(0, (int)linear.Weight.Count)) w = (float)(Half)w;
        Assert.IsType<PlainCodes>(Assert.IsType<CompositeCodes>(SeparateAdapter.Pack(linear, _pool).Codes).Terms[0].Codes);
        linear.Weight.Value.Floats[5] = 1.0001f;
        Assert.Contains("--adapters merged", Assert.Throws<LowbitException>(() => SeparateAdapter.Pack(linear, _pool)).Message);
    }

    [Fact]
    public void ARankAboveTheSmallerSideCannotStandBeside()
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel model = TrainableModel.From(source);
        TrainableLinear linear = model.Linears.First();
        linear.Use(new LowRankAdapter(linear, Math.Min(linear.Weight.Rows, linear.Weight.Columns) + 1, alpha: 1, seed: 1));
        Assert.Contains("--rank", Assert.Throws<LowbitException>(() => SeparateAdapter.Pack(linear, _pool)).Message);
    }

    [Fact]
    public void MergingNeedsTheGroupsOfTheWeight()
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel model = Adapted(source, isPacked: true, groupSize: 2 * Group);
        Assert.Contains("qa-lora", Assert.Throws<LowbitException>(() => QaLora.Merge(model.Linears.First(), _pool)).Message);
    }

    [Fact]
    public void LoftQComesNearerWithEveryRoundAndAtFullRankAllTheWay()
    {
        const int rows = 24, columns = 40;
        SplitMix64 random = new(3);
        float[] weight = [.. Enumerable.Range(0, rows * columns).Select(_ => (float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5))];
        LinearLayer layer = new("w", rows, columns, weight);
        RtnOptions grid = new() { Bits = 2, GroupSize = 20 };
        double Error(int rank, int rounds)
        {
            AdapterStart start = LoftQ.Begin(layer, grid, rank, rounds, _pool);
            double sum = 0;
            for (int i = 0; i < weight.Length; i++)
            {
                double product = 0;
                for (int k = 0; k < start.Rank; k++) product += (double)start.Left[i / columns * start.Rank + k] * start.Right[k * columns + i % columns];
                sum += Math.Pow(weight[i] - start.Quantized.Dequantized[i] - product, 2);
            }
            return Math.Sqrt(sum);
        }
        double none = Error(4, 0), one = Error(4, 1), five = Error(4, 5);
        Assert.True(one < 0.9 * none, $"{one} after a round, {none} before");
        Assert.True(five < one, $"{five} after five rounds, {one} after one");
        Assert.True(Error(rows, 1) < 1e-4 * none);
        // A product alone begins where its factors are equally large.
        AdapterStart balanced = LoftQ.Begin(layer, grid, 4, 1, _pool);
        for (int k = 0; k < 4; k++)
            Assert.Equal(Enumerable.Range(0, rows).Sum(r => Math.Pow(balanced.Left[r * 4 + k], 2)), Enumerable.Range(0, columns).Sum(c => Math.Pow(balanced.Right[k * columns + c], 2)), 1e-3);
    }

    [Fact]
    public void AnAdapterBegunByLoftQIsItsProduct()
    {
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        using TrainableModel model = TrainableModel.From(source);
        TrainableLinear linear = model.Linears.First();
        LinearLayer layer = new(linear.Name, linear.Weight.Rows, linear.Weight.Columns, linear.Weight.Value.Span<float>(0, (int)linear.Weight.Count).ToArray());
        AdapterStart start = LoftQ.Begin(layer, new TableRtnOptions(), Rank, 2, _pool);
        LowRankAdapter adapter = new(linear, Rank, alpha: 16, seed: 1);
        adapter.Begin(start);
        linear.Use(adapter);
        float[] product = adapter.Product(_pool);
        for (int i = 0; i < product.Length; i++)
        {
            double expected = Enumerable.Range(0, Rank).Sum(k => (double)start.Left[i / layer.InFeatures * Rank + k] * start.Right[k * layer.InFeatures + i % layer.InFeatures]);
            Assert.Equal(expected, product[i], 1e-5);
        }
    }

    // weight ← original + s · (B·A at A or B moved by step · direction, less B·A as it is), in float64.
    private static void Shift(double[] original, double[] weight, TrainableLinear linear, Parameter moved, double[] direction, double step)
    {
        LowRankAdapter adapter = linear.Adapter!;
        int rows = linear.Weight.Rows, columns = linear.Weight.Columns, groups = adapter.A.Columns;
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++)
            {
                double sum = 0;
                for (int k = 0; k < Rank; k++)
                {
                    int a = k * groups + c / adapter.GroupSize, b = k * rows + r;
                    sum += moved == adapter.A ? adapter.B.Value.Floats[b] * step * direction[a] : step * direction[b] * adapter.A.Value.Floats[a];
                }
                weight[r * columns + c] = original[r * columns + c] + adapter.Factor * sum;
            }
    }

    private TrainableModel Adapted(LanguageModel source, bool isPacked, int groupSize, bool zero = false)
    {
        TrainableModel model = TrainableModel.From(source, isPacked ? Packed(source) : null);
        SplitMix64 random = new(5);
        foreach (TrainableLinear linear in model.Linears)
        {
            LowRankAdapter adapter = new(linear, Rank, alpha: 6, seed: 1, groupSize);
            for (int i = 0; i < adapter.B.Count && !zero; i++) adapter.B.Value.Floats[i] = (float)(0.1 * random.NextDouble() - 0.05);
            linear.Use(adapter);
        }
        return model;
    }

    private Dictionary<string, WeightMatrix> Packed(LanguageModel source)
    {
        Dictionary<string, WeightMatrix> packed = [];
        foreach (Block block in source.Blocks)
            foreach ((_, Linear linear) in block.Linears())
            {
                float[] weight = new float[linear.Weight.Rows * linear.Weight.Columns];
                fixed (float* values = weight) linear.Weight.DequantizeRows(0, linear.Weight.Rows, values);
                QuantizedMatrix quantized = new RtnOptions { Bits = 4, GroupSize = Group }.Quantize(new LinearLayer(linear.Name, linear.Weight.Rows, linear.Weight.Columns, weight), _pool);
                PackedWeight matrix = new(linear.Name, quantized);
                _packed.Add(matrix);
                packed[linear.Name] = matrix.Matrix;
            }
        return packed;
    }
}
