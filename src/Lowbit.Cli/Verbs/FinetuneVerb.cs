using System.CommandLine;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Export;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Cli.Verbs;

/// <summary>Trains a model further, as it is or through a quantizer.</summary>
internal static class FinetuneVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string> s_method = Options.Choice("--method", "pb-llm: train the partially binarized linears; full: all parameters in float.", "pb-llm", "full");
    private static readonly Option<double> s_salient = Options.Real("--salient", "Share of weights kept in high precision.", "R", 0.1, 0, 1);
    private static readonly Option<int> s_salientBits = Options.Integer("--salient-bits", "Bits of a salient weight.", 8, 2, 8);
    private static readonly Option<bool> s_trainSalient = Options.Flag("--train-salient", "Train salient weights too instead of keeping their values.");
    private static readonly Option<bool> s_fixedScale = Options.Flag("--fixed-scale", "Keep the scale of the binary part as it was at the start.");
    private static readonly Option<string> s_scaleOf = Options.Choice("--scale-of", "What shares a scale of the binary part.", "row", "matrix");
    private static readonly Option<string> s_positions = Options.Choice("--positions", "How the positions of salient weights are stored: coded is smaller on disk.", "bitmap", "coded");
    private static readonly Option<string> s_scales = Options.Choice("--scales", "Precision of the scales.", "f16", "f32");

    public static Command Create() => new Verb(
        "finetune",
        "Train a model further: quantization-aware, or all of it in float.",
        "lowbit finetune models/TinyStories-656K --method pb-llm --salient 0.1 --text generated.txt --steps 600 --learning-rate 3e-3 -o out/pb",
        Execute,
        [s_model, s_method, s_salient, s_salientBits, s_trainSalient, s_fixedScale, s_scaleOf, s_positions, s_scales, .. TrainingCommand.Symbols]);

    private static void Execute(Invocation invocation)
    {
        string output = TrainingCommand.Output(invocation, "finetune"), path = invocation.Get(s_model), method = invocation.Get(s_method);
        using LanguageModel source = LanguageModel.Open(path);
        using TrainableModel model = TrainableModel.From(source);
        using var pool = new WorkerPool(invocation.Threads);
        if (method == "full")
        {
            foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
            TrainingCommand.Run(
                invocation, path, method, "", model, TokenizerLoader.Load(path), pool,
                apply: () => { },
                write: report =>
                {
                    FloatFolder.Write(output, model, FloatFolder.ConfigOf(source), path);
                    return report;
                });
            return;
        }
        PbLlmTrainingOptions options = new()
        {
            SalientShare = invocation.Get(s_salient),
            SalientBits = invocation.Get(s_salientBits),
            TrainSalient = invocation.Get(s_trainSalient),
            FixedScale = invocation.Get(s_fixedScale),
            ScaleOfMatrix = invocation.Get(s_scaleOf) == "matrix",
            ScalePrecision = invocation.Get(s_scales) == "f16" ? ScalePrecision.Float16 : ScalePrecision.Float32,
        };
        QuantizeOptions packing = new()
        {
            Method = "pb-llm-qat",
            MethodOptions = new PbLlmOptions { Compensate = false, SalientShare = options.SalientShare, SalientBits = options.SalientBits, ScalePrecision = options.ScalePrecision },
            Output = output,
            Positions = invocation.Get(s_positions) == "coded" ? PositionsForm.Coded : PositionsForm.Bitmap,
        };
        TrainingCommand.Run(
            invocation, path, method, options.ToString(), model, TokenizerLoader.Load(path), pool,
            apply: () =>
            {
                foreach (TrainableLinear linear in model.Linears)
                {
                    linear.Weight.Trainable = true;
                    linear.Use(new PbLlmTraining(pool, linear.Weight, options));
                }
            },
            write: report =>
            {
                PackedSize size = PackedFolder.Write(packing, model, source);
                return report with { WeightBytes = size.WeightBytes, BitsPerWeight = size.BitsPerWeight, LinearBitsPerWeight = size.LinearBitsPerWeight, NominalBitsPerWeight = size.NominalBitsPerWeight };
            });
    }
}
