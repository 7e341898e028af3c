using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Lowbit.Training.Export;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Run;
using Xunit;

namespace Lowbit.Training.Tests;

public sealed unsafe class PbLlmTrainingTests
{
    private const int Rows = 9, Columns = 40;

    public static TheoryData<PbLlmTrainingOptions> Settings =>
    [
        new(),
        new() { SalientShare = 0, ScalePrecision = ScalePrecision.Float16 },
        new() { SalientShare = 1 },
        new() { SalientShare = 0.3, SalientBits = 4, TrainSalient = true, ScalePrecision = ScalePrecision.Float16 },
        new() { ScaleOfMatrix = true, FixedScale = true },
    ];

    [Theory]
    [MemberData(nameof(Settings))]
    public void TheEffectiveWeightFollowsItsDefinition(PbLlmTrainingOptions options)
    {
        using WorkerPool pool = new(2);
        using Parameter weight = RandomWeight(1);
        float[] original = Values(weight);
        PbLlmTraining form = new(pool, weight, options);
        float[] ascending = [.. original.Select(MathF.Abs).Order()];
        float smallest = ascending.Append(float.PositiveInfinity).ElementAt((int)(original.Length * (1 - options.SalientShare)));
        // As training would, change the weights after the form was made.
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] += 0.3f * MathF.Sin(i);
        float[] latent = Values(weight), effective = new float[latent.Length];
        fixed (float* target = effective) form.Forward(pool, weight, target);

        float[] source = options.FixedScale ? original : latent;
        double[] sums = new double[Rows], counts = new double[Rows];
        for (int i = 0; i < latent.Length; i++)
        {
            if (MathF.Abs(original[i]) >= smallest) continue;
            sums[i / Columns] += Math.Abs(source[i]);
            counts[i / Columns]++;
        }
        for (int i = 0; i < latent.Length; i++)
        {
            int r = i / Columns;
            if (MathF.Abs(original[i]) >= smallest)
            {
                double step = (original[(r * Columns)..((r + 1) * Columns)].Append(0).Max() - original[(r * Columns)..((r + 1) * Columns)].Append(0).Min()) / (double)((1 << options.SalientBits) - 1);
                double wanted = options.TrainSalient ? Math.Clamp(latent[i], original[(r * Columns)..((r + 1) * Columns)].Min(), original[(r * Columns)..((r + 1) * Columns)].Max()) : original[i];
                Assert.True(Math.Abs(effective[i] - wanted) <= 1.01 * step, $"element {i}: {effective[i]}, near {wanted} expected");
                continue;
            }
            double scale = options.ScaleOfMatrix ? sums.Sum() / counts.Sum() : sums[r] / counts[r];
            Assert.Equal(latent[i] < 0 ? -scale : scale, effective[i], options.ScalePrecision == ScalePrecision.Float16 ? 1e-3 : 1e-6);
        }
        float[] gradient = [.. Enumerable.Repeat(1f, latent.Length)];
        fixed (float* target = gradient) form.Backward(pool, weight, target);
        for (int i = 0; i < gradient.Length; i++)
            Assert.Equal(MathF.Abs(original[i]) >= smallest && !options.TrainSalient ? 0 : 1, gradient[i]);
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void CodesAreTheEffectiveWeightToTheLastBit(PbLlmTrainingOptions options)
    {
        using WorkerPool pool = new(1);
        using Parameter weight = RandomWeight(2);
        PbLlmTraining form = new(pool, weight, options);
        float[] effective = new float[weight.Count];
        fixed (float* target = effective) form.Forward(pool, weight, target);
        QuantizedMatrix quantized = form.Quantize(weight)!;
        Assert.Equal(effective, quantized.Dequantized);
        Assert.Equal(options.SalientShare, ((PartiallyBinarizedCodes)quantized.Codes).Salient.Count(salient => salient) / (double)weight.Count, 2);
    }

    [Fact]
    public void SaliencyByHessianFollowsTheInputs()
    {
        using TemporaryFolder folder = new();
        // The first feature of every normalised row is tiny, so the weights that it meets cannot matter, however large they are.
        TinyLlama.Write(folder.Path, change: (name, values) =>
        {
            if (name.EndsWith("input_layernorm.weight", StringComparison.Ordinal)) values[0] = 1e-3f;
            if (name.EndsWith("q_proj.weight", StringComparison.Ordinal))
            {
                for (int i = 0; i < values.Length; i += TinyLlama.ModelDim) values[i] = 1;
            }
            return values;
        });
        using WorkerPool pool = new(2);
        using LanguageModel source = LanguageModel.Open(folder.Path);
        using TrainableModel model = TrainableModel.From(source);
        CalibrationSet calibration = CalibrationSet.Draw([TinyLlama.Ids(640)], 64, 10, CalibrationSampling.Sequential, 0);
        IReadOnlyDictionary<TrainableLinear, bool[]> marks = SaliencyByHessian.Mark(source, model, calibration, 0.1, pool, default);
        Assert.Equal(model.Linears.Count(), marks.Count);
        foreach ((TrainableLinear linear, bool[] salient) in marks)
        {
            Assert.Equal(0.1, salient.Count(mark => mark) / (double)salient.Length, 2);
            bool[] byMagnitude = new bool[salient.Length];
            float[] values = Values(linear.Weight);
            float threshold = values.Select(MathF.Abs).OrderDescending().ElementAt(salient.Length / 10);
            for (int i = 0; i < values.Length; i++) byMagnitude[i] = MathF.Abs(values[i]) > threshold;
            if (!linear.Name.EndsWith("q_proj", StringComparison.Ordinal)) continue;
            int[] first = [.. Enumerable.Range(0, linear.Weight.Rows).Select(r => r * linear.Weight.Columns)];
            Assert.All(first, i => Assert.True(byMagnitude[i]));
            Assert.All(first, i => Assert.False(salient[i]));
        }
    }

    [Fact]
    public void ThePackedFolderHasThePerplexityThatTrainingReports()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("model"), output = folder.File("packed");
        TinyLlama.Write(path);
        using WorkerPool pool = new(2);
        int[] ids = TinyLlama.Ids(5 * TinyLlama.Context);
        double trained;
        using (LanguageModel source = LanguageModel.Open(path))
        using (TrainableModel model = TrainableModel.From(source))
        {
            PbLlmTrainingOptions options = new() { ScalePrecision = ScalePrecision.Float16 };
            foreach (TrainableLinear linear in model.Linears)
            {
                linear.Weight.Trainable = true;
                linear.Use(new PbLlmTraining(pool, linear.Weight, options));
            }
            using (Trainer trainer = new(model, new Data.TokenWindows(ids, 32, 1), new TrainingOptions { Steps = 3, Batch = 2, Context = 32, LearningRate = 1e-2 }, pool))
            {
                for (int i = 0; i < 3; i++) trainer.Step();
            }
            trained = Math.Exp(HeldOutLoss.Measure(model, pool, ids, TinyLlama.Context));
            PackedSize size = PackedFolder.Write(
                new QuantizeOptions { Method = "pb-llm-qat", MethodOptions = new PbLlmOptions { ScalePrecision = ScalePrecision.Float16 }, Output = output }, model, source, pool);
            Assert.InRange(size.NominalBitsPerWeight, 2.69, 2.71);
            Assert.InRange(size.LinearBitsPerWeight, 2.69, 4); // rows of 64 pay for their scales
        }
        using LanguageModel packed = LanguageModel.Open(output);
        Assert.IsType<PartiallyBinarizedMatrix>(packed.Blocks[0].Query!.Weight);
        ScoredText text = ScoredText.Cut(ids, PerplexityProtocol.Gptq, TinyLlama.Context, windows: 0, begin: null);
        Assert.Equal(trained, Perplexity.Measure(packed, pool, ActivationMode.Float, text).Perplexity, 1e-3 * trained);
    }

    private static Parameter RandomWeight(ulong seed)
    {
        Parameter weight = new("w.weight", Rows, Columns);
        SplitMix64 random = new(seed);
        for (int i = 0; i < weight.Count; i++) weight.Value.Floats[i] = (float)(random.NextDouble() - 0.5);
        return weight;
    }

    private static float[] Values(Parameter parameter) => parameter.Value.Span<float>(0, (int)parameter.Count).ToArray();
}
