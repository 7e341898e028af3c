using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.TestKit;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

/// <summary>What holds of every method of training.</summary>
public sealed unsafe class MethodTests : IDisposable
{
    private static readonly Dictionary<string, Func<TrainableLinear, IWeightForm>> s_forms = new()
    {
        ["pb-llm"] = linear => PbLlm(linear, new() { SalientShare = 0.2 }),
        ["pb-llm, salient weights trained"] = linear => PbLlm(linear, new() { SalientShare = 0.2, TrainSalient = true, ScalePrecision = ScalePrecision.Float16 }),
        ["pb-llm, one scale a matrix, fixed"] = linear => PbLlm(linear, new() { SalientShare = 0.2, ScaleOfMatrix = true, FixedScale = true }),
        ["bnn"] = _ => new BinaryTraining(new Bnn(), ScalePrecision.Float16),
        ["xnor"] = _ => new BinaryTraining(new Xnor(), ScalePrecision.Float16),
        ["bi-real"] = _ => new BinaryTraining(new BiReal(), ScalePrecision.Float16),
        ["ir-net"] = _ => new BinaryTraining(new IrNet(), ScalePrecision.Float16),
        ["fda"] = _ => new BinaryTraining(new FrequencyDomain(), ScalePrecision.Float16),
        ["recu"] = _ => new BinaryTraining(new ReCu(), ScalePrecision.Float16),
        ["bitnet"] = _ => new BitNet(ScalePrecision.Float16),
        ["llm-qat"] = _ => new LlmQat(4, ScalePrecision.Float16),
        ["onebit"] = linear => new OneBit(linear.Weight),
        ["efficientqat"] = linear => new UniformTraining(linear.Weight, new() { Bits = 3, GroupSize = 8, TrainZeros = true }),
        ["efficientqat, fixed codes"] = linear => new UniformTraining(linear.Weight, new() { Bits = 3, GroupSize = 8, FixedCodes = true }),
    };

    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);
    private readonly List<PackedWeight> _packed = [];

    public MethodTests() => TinyLlama.Write(_folder.File("model"));

    public static TheoryData<string> Forms => [.. s_forms.Keys];

    public static TheoryData<string> Methods => [.. s_forms.Keys, "full", "lora", "qlora", "qa-lora"];

    public static TheoryData<string> Architectures => ModelGradientTests.Names;

    public void Dispose()
    {
        foreach (PackedWeight weight in _packed) weight.Dispose();
        _pool.Dispose();
        _folder.Dispose();
    }

    /// <summary>Before a form carries it on, the gradient is that of the weight that the products see.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void GradientsOfTheProductsWeight(string method) => AssertGradients(ModelGradientTests.Noisy("llama"), (_, linear) => s_forms[method](linear));

    [Theory]
    [MemberData(nameof(Architectures))]
    public void GradientsOfTheProductsWeightInEveryArchitecture(string name) =>
        AssertGradients(ModelGradientTests.Noisy(name), (i, linear) => s_forms.Values.ElementAt((i + name.Length) % s_forms.Count)(linear));

    /// <summary>The effective weight is linear in what these two train beside codes and signs, so differences of it are exact.</summary>
    [Theory]
    [InlineData("onebit", 2e-3)] // rounded to half precision
    [InlineData("efficientqat, fixed codes", 2e-4)]
    public void GradientsOfWhatAFormTrains(string method, double tolerance)
    {
        using TrainableModel model = ModelGradientTests.Noisy("llama");
        foreach (TrainableLinear linear in model.Linears) linear.Use(s_forms[method](linear));
        model.Refresh(_pool);
        int[] ids = Tiny.Ids(9);
        using TrainingPass pass = new(model, _pool, 1, ids.Length);
        model.ClearGradients();
        pass.Run(ids);
        model.FinishGradients(_pool);
        ReferenceLoss reference = new(model, 1, ids.Length, ids);
        SplitMix64 random = new(5);
        foreach (TrainableLinear linear in model.Linears)
        {
            foreach (Parameter parameter in linear.Added.Where(parameter => parameter.Trainable))
            {
                float[] values = parameter.Value.Span<float>(0, (int)parameter.Count).ToArray(), direction = [.. values.Select(value => random.NextDouble() < 0.5 ? -value / 2 : value / 2)];
                double along = direction.Select((d, i) => (double)d * parameter.Gradient!.Floats[i]).Sum();
                double length = Math.Sqrt(direction.Select((d, i) => Math.Pow(d * parameter.Gradient!.Floats[i], 2)).Sum());
                double[] weight = reference.Tensors[linear.Weight.Name], original = [.. weight], moved = new double[weight.Length];
                for (int i = 0; i < values.Length; i++) parameter.Value.Floats[i] = values[i] + direction[i];
                linear.Refresh(_pool);
                for (int i = 0; i < moved.Length; i++) moved[i] = linear.Effective[i] - original[i];
                for (int i = 0; i < values.Length; i++) parameter.Value.Floats[i] = values[i];
                linear.Refresh(_pool);
                double At(double step)
                {
                    for (int i = 0; i < weight.Length; i++) weight[i] = original[i] + step * moved[i];
                    return reference.Compute();
                }
                double expected = (At(1e-5) - At(-1e-5)) / 2e-5;
                original.CopyTo(weight, 0);
                Assert.True(Math.Abs(along - expected) <= tolerance * length + 1e-7, $"{parameter}: {along}, differences say {expected}");
                Assert.True(length > 1e-6);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void ATrainingGoesOnFromItsCheckpointToTheLastBit(string method)
    {
        foreach (bool withEverything in new[] { false, true })
        {
            TrainingOptions options = Tiny.Options with { Steps = 6, Decay = Decay.Cosine };
            if (withEverything)
                options = options with { Optimizer = new AdamWOptions { EightBit = true, WeightDecay = 0.1f }, Dropout = 0.1, Accumulation = 2, TeacherShare = 0.5, BFloat16Activations = true };
            string path = _folder.File("checkpoint.safetensors");
            using TrainableModel whole = Model(method), first = Model(method), second = Model(method);
            using TrainableModel? teacher = withEverything ? Model("full", whole.Config) : null;
            double[] losses;
            using (Trainer trainer = new(whole, Tiny.Data(), options, _pool, teacher)) losses = [.. Enumerable.Range(0, 6).Select(_ => trainer.Step().Loss)];
            using (Trainer trainer = new(first, Tiny.Data(), options, _pool, teacher))
            {
                for (int i = 0; i < 2; i++) trainer.Step();
                trainer.Save(path, "same");
            }
            using Trainer resumed = new(second, Tiny.Data(), options, _pool, teacher);
            resumed.Resume(path, "same");
            Assert.Equal(losses[2..], Enumerable.Range(0, 4).Select(_ => resumed.Step().Loss));
            Assert.NotEqual(losses[0], losses[5]);
            Assert.Equal(whole.Trained.SelectMany(Values), second.Trained.SelectMany(Values));
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void WhatIsPackedAfterTheLastStepIsWhatTheProductsTakeFromThenOn(string method)
    {
        string path = _folder.File("checkpoint.safetensors");
        TrainingOptions options = Tiny.Options with { Steps = 2 };
        using TrainableModel model = Model(method), resumed = Model(method);
        using (Trainer trainer = new(model, Tiny.Data(), options, _pool))
        {
            for (int i = 0; i < 2; i++) trainer.Step();
            trainer.Save(path, "same");
        }
        using (Trainer trainer = new(resumed, Tiny.Data(), options, _pool)) trainer.Resume(path, "same");
        foreach (TrainableModel trained in (TrainableModel[])[model, resumed])
        {
            float[][] taken = [.. trained.Linears.Select(Effective)], packed = [.. trained.Linears.Select(linear => linear.Form!.Quantize(linear.Weight)!.Dequantized)];
            trained.Refresh(_pool);
            Assert.Equal(trained.Linears.Select(Effective), taken);
            Assert.Equal(taken, packed);
        }
    }

    private void AssertGradients(TrainableModel model, Func<int, TrainableLinear, IWeightForm> form)
    {
        using (model)
        {
            foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
            foreach ((int i, TrainableLinear linear) in model.Linears.Index()) linear.Use(form(i, linear));
            model.Refresh(_pool);
            Gradients.AssertRight(model, 1, 7, Tiny.Ids(7));
        }
    }

    private static PbLlmTraining PbLlm(TrainableLinear linear, PbLlmTrainingOptions options)
    {
        using WorkerPool pool = new(1);
        return new PbLlmTraining(pool, linear.Weight, options);
    }

    private static float[] Effective(TrainableLinear linear) => new ReadOnlySpan<float>(linear.Effective, (int)linear.Weight.Count).ToArray();

    private static float[] Values(Parameter parameter) => parameter.Value.Span<float>(0, (int)parameter.Count).ToArray();

    private TrainableModel Model(string method, ModelConfig? config = null)
    {
        if (method == "full")
        {
            TrainableModel model = TrainableModel.Random(config ?? Tiny.Config, 1);
            foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
            return model;
        }
        if (s_forms.TryGetValue(method, out Func<TrainableLinear, IWeightForm>? form))
        {
            TrainableModel model = Tiny.Model();
            foreach (TrainableLinear linear in model.Linears)
            {
                linear.Weight.Trainable = !method.EndsWith("fixed codes", StringComparison.Ordinal);
                linear.Use(form(linear));
            }
            return model;
        }
        using LanguageModel source = LanguageModel.Open(_folder.File("model"));
        TrainableModel adapted = TrainableModel.From(source, method == "lora" ? null : source.Blocks.SelectMany(block => block.Linears()).ToDictionary(entry => entry.Linear.Name, entry => Packed(entry.Linear)));
        foreach (TrainableLinear linear in adapted.Linears) linear.Use(new LowRankAdapter(linear, 2, alpha: 4, seed: 1, method == "qa-lora" ? 8 : 1));
        return adapted;
    }

    private WeightMatrix Packed(Linear linear)
    {
        float[] weight = new float[linear.Weight.Rows * linear.Weight.Columns];
        fixed (float* values = weight) linear.Weight.DequantizeRows(0, linear.Weight.Rows, values);
        _packed.Add(new PackedWeight(linear.Name, new RtnOptions { Bits = 4, GroupSize = 8 }.Quantize(new LinearLayer(linear.Name, linear.Weight.Rows, linear.Weight.Columns, weight), _pool)));
        return _packed[^1].Matrix;
    }
}
