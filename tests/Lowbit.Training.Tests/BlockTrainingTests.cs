using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.Methods;
using Lowbit.TestKit;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class BlockTrainingTests : IDisposable
{
    private static readonly BlockTrainingOptions s_options = new() { Steps = 60, Batch = 2, Batches = 3, LearningRate = 2e-3 };

    private static readonly Lazy<float[]> s_learned = new(Learn);

    private readonly WorkerPool _pool = new(2);

    public void Dispose() => _pool.Dispose();

    [Fact]
    public void BlocksComeNearerToTheirFloatOutput()
    {
        using TrainableModel model = Trained();
        float[] norms = Norms(model);
        double float32 = Loss(model), rounded;
        using (TrainableModel plain = Trained())
        {
            foreach (TrainableLinear linear in plain.Linears) linear.Use(Form(linear, 2));
            rounded = Loss(plain);
        }
        IReadOnlyList<BlockReport> reports = Train(model, linear => Form(linear, 2));
        Assert.Equal([0, 1], reports.Select(report => report.Block));
        Assert.All(reports, report => Assert.True(report.After < 0.5 * report.Before, report.ToString()));
        double trained = Loss(model);
        Assert.True(float32 < trained && trained - float32 < 0.6 * (rounded - float32), $"{float32} in float, {rounded} rounded, {trained} trained");
        Assert.All(norms.Zip(Norms(model)), pair => Assert.NotEqual(pair.First, pair.Second));

        // The second phase trains steps alone, and the codes that are packed are those of the first.
        foreach (TrainableLinear linear in model.Linears) ((UniformTraining)linear.Form!).FixCodes(linear.Weight);
        Assert.Equal(trained, Loss(model), 1e-6);
        Assert.All(model.Trained, parameter => Assert.EndsWith(".steps", parameter.Name));
        foreach (Parameter steps in model.Trained)
        {
            for (int i = 0; i < steps.Count; i++) steps.Value.Floats[i] *= i % 2 == 0 ? 2 : 0.3f;
        }
        double moved = Loss(model);
        using (Trainer trainer = new(model, Tiny.Data(), Tiny.Options with { Steps = 30, LearningRate = 3e-3 }, _pool))
        {
            for (int i = 0; i < 30; i++) trainer.Step();
        }
        double finished = Loss(model);
        Assert.True(finished < moved - 0.05, $"{finished} after the second phase, {moved} before");
        TrainableLinear last = model.Linears.Last();
        Assert.Equal(new ReadOnlySpan<float>(last.Effective, 16).ToArray(), last.Form!.Quantize(last.Weight)!.Dequantized[..16]);
    }

    [Fact]
    public void AFormThatChangesNothingHasNothingToLearn()
    {
        using TrainableModel model = Trained();
        float[] before = Tiny.Values(model);
        Assert.All(Train(model, _ => new Identity()), report => Assert.Equal((0, 0), (report.Before, report.After)));
        Assert.Equal(before, Tiny.Values(model));
    }

    [Fact]
    public void ABlockLearnsWhatTheOnesBeforeItGive()
    {
        // The second block changes nothing of its own, so what it begins with is the error of the first alone.
        using TrainableModel model = Trained();
        IReadOnlyList<BlockReport> reports = Train(model, linear => model.Blocks[0].Linears.Contains(linear) ? Form(linear, 2) : new Identity());
        Assert.True(reports[1].Before > 0.001);
        Assert.True(reports[1].After < reports[1].Before);
    }

    [Fact]
    public void ThreadsDoNotMatter()
    {
        float[][] values = [.. new[] { 1, 3 }.Select(threads =>
        {
            using WorkerPool pool = new(threads);
            using TrainableModel model = Trained();
            using BlockTraining training = new(model, Tiny.Data(), s_options with { Steps = 5 }, pool);
            training.Run(linear => Form(linear, 3));
            return Tiny.Values(model);
        })];
        Assert.Equal(values[0], values[1]);
    }

    [Fact]
    public void ATrainingThatWasInterruptedInABlockGoesOnToTheLastBit()
    {
        using TemporaryFolder temporary = new();
        string output = temporary.File("model");
        BlockTrainingOptions options = s_options with { Steps = 6 };
        (IReadOnlyList<BlockReport> Reports, float[] Values) Run(TrainingFolder? folder, int stopAfter = int.MaxValue)
        {
            using CancellationTokenSource source = new();
            using TrainableModel model = Trained();
            using BlockTraining training = new(model, Tiny.Data(), options, _pool);
            IReadOnlyList<BlockReport> reports = training.Run(linear => Form(linear, 3), folder, report => { if (report.Block == stopAfter) source.Cancel(); }, source.Token);
            foreach (TrainableLinear linear in model.Linears) ((UniformTraining)linear.Form!).FixCodes(linear.Weight);
            model.Refresh(_pool);
            return (reports, [.. Tiny.Values(model), .. model.Linears.SelectMany(linear => new ReadOnlySpan<float>(linear.Effective, (int)linear.Weight.Count).ToArray())]);
        }
        (IReadOnlyList<BlockReport> reports, float[] values) = Run(null);
        Assert.Throws<OperationCanceledException>(() => Run(new TrainingFolder(output, "same", resume: false, force: false), stopAfter: 0));
        string first = Path.Combine(output + ".training", "block-0.safetensors"), second = Path.Combine(output + ".training", "block-1.safetensors");
        Assert.False(File.Exists(second));
        Assert.Contains("--resume", Assert.Throws<LowbitException>(() => new TrainingFolder(output, "same", resume: false, force: false)).Message);
        Assert.Contains("another model, text or", Assert.Throws<LowbitException>(() => Run(new TrainingFolder(output, "other", resume: true, force: false))).Message);

        DateTime written = File.GetLastWriteTimeUtc(first);
        (IReadOnlyList<BlockReport> resumed, float[] same) = Run(new TrainingFolder(output, "same", resume: true, force: false));
        Assert.Equal(written, File.GetLastWriteTimeUtc(first)); // not trained again
        Assert.Equal(reports, resumed);
        Assert.Equal(values, same);
        File.WriteAllBytes(second, File.ReadAllBytes(second)[..^4]);
        Assert.Throws<LowbitFormatException>(() => Run(new TrainingFolder(output, "same", resume: true, force: false)));
    }

    [Fact]
    public void WindowsLongerThanTheModelReadsAreRefused()
    {
        using TrainableModel model = Tiny.Model();
        int length = Tiny.Config.ContextLength + 1;
        Assert.Contains($"--context is {length}", Assert.Throws<LowbitException>(() => new BlockTraining(model, new Data.TokenWindows(Tiny.Ids(500), length, 1), s_options, _pool)).Message);
    }

    private IReadOnlyList<BlockReport> Train(TrainableModel model, Func<TrainableLinear, IWeightForm> form)
    {
        using BlockTraining training = new(model, Tiny.Data(), s_options, _pool);
        return training.Run(form);
    }

    private static UniformTraining Form(TrainableLinear linear, int bits) => new(linear.Weight, new UniformTrainingOptions { Bits = bits, GroupSize = -1, TrainZeros = true });

    private double Loss(TrainableModel model) => HeldOutLoss.Measure(model, _pool, Tiny.Ids(480), 24);

    private static float[] Norms(TrainableModel model) =>
        [.. model.Blocks.SelectMany(block => block.Norms).SelectMany(norm => norm.Weight.Value.Span<float>(0, (int)norm.Weight.Count).ToArray())];

    // A model that has learned the text a little.
    private static TrainableModel Trained()
    {
        TrainableModel model = TrainableModel.Random(Tiny.Config, 1);
        int first = 0;
        foreach (Parameter parameter in model.Parameters)
        {
            s_learned.Value.AsSpan(first, (int)parameter.Count).CopyTo(parameter.Value.Span<float>(0, (int)parameter.Count));
            first += (int)parameter.Count;
        }
        return model;
    }

    private static float[] Learn()
    {
        using TrainableModel model = Tiny.Model();
        Tiny.Train(model, Tiny.Options with { Steps = 200 }, 200);
        return Tiny.Values(model);
    }

    private sealed class Identity : IWeightForm
    {
        public IReadOnlyList<Parameter> Parameters => [];

        public void Forward(WorkerPool pool, Parameter weight, float* effective) => weight.Value.Span<float>(0, (int)weight.Count).CopyTo(new Span<float>(effective, (int)weight.Count));

        public void Backward(WorkerPool pool, Parameter weight, float* gradient) { }

        public QuantizedMatrix? Quantize(Parameter weight) => null;
    }
}
