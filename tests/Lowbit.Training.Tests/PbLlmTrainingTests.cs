using System;
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
                new QuantizeOptions { Method = "pb-llm-qat", MethodOptions = new PbLlmOptions { ScalePrecision = ScalePrecision.Float16 }, Output = output }, model, source);
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
