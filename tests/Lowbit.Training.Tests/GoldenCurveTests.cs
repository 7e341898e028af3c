using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.TestKit;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;
using Xunit;

namespace Lowbit.Training.Tests;

/// <summary>Thirty steps on TinyStories-656K beside PyTorch's losses.</summary>
public sealed class GoldenCurveTests
{
    private const int Sequences = 8, Length = 256;

    [SharedFact]
    public void AllParametersTrainedAsPyTorchTrainsThem()
    {
        using LanguageModel source = LanguageModel.Open(Shared.Path("models", "TinyStories-656K"));
        using TrainableModel model = TrainableModel.From(source);
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        AssertFollows("full", model, new AdamWOptions { Beta2 = 0.95f, WeightDecay = 0.1f });
    }

    [SharedFact]
    public void PartiallyBinarizedLinearsTrainedAsPyTorchTrainsThem()
    {
        using LanguageModel source = LanguageModel.Open(Shared.Path("models", "TinyStories-656K"));
        using TrainableModel model = TrainableModel.From(source);
        using WorkerPool pool = new(1);
        foreach (TrainableLinear linear in model.Linears)
        {
            linear.Weight.Trainable = true;
            linear.Use(new PbLlmTraining(pool, linear.Weight, new PbLlmTrainingOptions()));
        }
        AssertFollows("pb-qat", model, new AdamWOptions());
    }

    private static void AssertFollows(string curve, TrainableModel model, AdamWOptions options)
    {
        double[] expected = Losses(curve);
        int[] ids = Ids(expected.Length * Sequences * Length);
        using WorkerPool pool = new(2);
        using TrainingPass pass = new(model, pool, Sequences, Length);
        using AdamW optimizer = new(pool, model.Trained, options);
        for (int step = 0; step < expected.Length; step++)
        {
            model.ClearGradients();
            model.Refresh(pool);
            double loss = pass.Run(ids.AsSpan(step * Sequences * Length, Sequences * Length));
            Assert.True(Math.Abs(loss - expected[step]) <= 1e-3 * expected[step], $"step {step}: {loss}, PyTorch {expected[step]}");
            model.FinishGradients(pool);
            optimizer.Step(step + 1, 1e-3, 1);
        }
    }

    private static double[] Losses(string curve)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Shared.Path("golden", "training", "TinyStories-656K.json")));
        return [.. json.RootElement.GetProperty(curve).GetProperty("losses").EnumerateArray().Select(loss => loss.GetDouble())];
    }

    private static int[] Ids(int count)
    {
        string text = File.ReadAllText(Shared.Path("data", "tinystories", "generated.txt"))[..(8 * count)];
        return TokenizerLoader.Load(Shared.Path("models", "TinyStories-656K")).EncodePlain(text)[..count].ToArray();
    }
}
