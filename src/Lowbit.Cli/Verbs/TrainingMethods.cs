using System;
using System.Collections.Generic;
using System.CommandLine;
using System.IO;
using System.Linq;
using System.Text.Json.Nodes;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Export;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;
using Lowbit.Training.Run;

namespace Lowbit.Cli.Verbs;

/// <summary>A method of training on the command line.</summary>
/// <param name="Name">What <c>--method</c> takes.</param>
/// <param name="Settings">The settings that it has.</param>
/// <param name="TrainsWeights">Whether the weights of the linears are trained, or only what the method adds.</param>
/// <param name="Form">What it makes of a linear; null for training in float and for adapters.</param>
/// <param name="Base">What adapters stand on; null where there are none.</param>
/// <param name="Packs">Whether the result is packed.</param>
/// <param name="FromNothing">Whether it can begin from random weights.</param>
internal sealed record TrainingMethod(
    string Name, Option[] Settings, bool TrainsWeights, Func<TrainingContext, TrainableLinear, IWeightForm>? Form,
    Func<Invocation, LanguageModel, WorkerPool, TrainingAdapters>? Base = null, bool Packs = true, bool FromNothing = false);

/// <summary>What a method may look at.</summary>
/// <param name="Invocation">Options.</param>
/// <param name="Pool">Threads.</param>
/// <param name="Model">What is to be trained.</param>
/// <param name="Source">The model that it began from; null where it begins from nothing.</param>
/// <param name="Ids">Tokens of the training text.</param>
/// <param name="Folder">Where the training lives until it is done.</param>
internal sealed record TrainingContext(Invocation Invocation, WorkerPool Pool, TrainableModel Model, LanguageModel? Source, int[] Ids, TrainingFolder Folder)
{
    /// <summary>Salient weights, where a method has found them before.</summary>
    public IReadOnlyDictionary<TrainableLinear, bool[]>? Salient { get; init; }

    /// <summary>What adapters stand on, for methods that have some.</summary>
    public TrainingAdapters? Adapters { get; init; }
}

/// <summary>The methods that <c>train</c> and <c>finetune</c> have, their settings, and how their results are written.</summary>
internal static class TrainingMethods
{
    private const int CalibrationWindows = 32, CalibrationContext = 512; // of the training text, for saliency by Hessian
    private const int PooledInputs = 32;                              // a group of qa-lora, the paper's

    private static readonly Option<double> s_salient = Options.Real("--salient", "Share of weights kept in high precision.", "R", 0.1, 0, 1);
    private static readonly Option<string> s_saliency = Options.Choice("--saliency", "How salient weights are found.", "magnitude", "hessian");
    private static readonly Option<int> s_salientBits = Options.Integer("--salient-bits", "Bits of a salient weight.", 8, 2, 8);
    private static readonly Option<bool> s_trainSalient = Options.Flag("--train-salient", "Train salient weights too instead of keeping their values.");
    private static readonly Option<bool> s_fixedScale = Options.Flag("--fixed-scale", "Keep the scale of the binary part as it was at the start.");
    private static readonly Option<string> s_scaleOf = Options.Choice("--scale-of", "What shares a scale of the binary part.", "row", "matrix");
    private static readonly Option<string> s_positions = Options.Choice("--positions", "How the positions of salient weights are stored: coded is smaller on disk.", "bitmap", "coded");
    private static readonly Option<string> s_scales = Options.Choice("--scales", "Precision of the scales.", "f16", "f32");
    private static readonly Option<int> s_bits = Options.Integer("--bits", "Bits of a weight, for efficientqat and qa-lora.", 4, 2, 8);
    private static readonly Option<int> s_groupSize = Options.Integer("--group-size", $"Inputs that share a step, for efficientqat and qa-lora ({PooledInputs} if not given); -1 for the whole row.", -1, -1);
    private static readonly Option<bool> s_fixedCodes = Options.Flag("--fixed-codes", "Train the steps alone, for efficientqat: its second phase.");
    private static readonly Option<int> s_blockSteps = Options.Integer("--block-steps", "Steps in which each block is first trained against its float output, for efficientqat; the steps of the grids alone are trained afterwards. 0: all at once.", 0, 0);
    private static readonly Option<double> s_blockRate = Options.Real("--block-learning-rate", "The largest learning rate of weights in --block-steps; steps and zeros of the grids have five times as much.", "R", 1e-4, 0, 100);
    private static readonly Option<int> s_blockBatches = Options.Integer("--block-batches", "Batches that --block-steps takes in turn; their hidden states are kept.", 16, 1);
    private static readonly Option<string> s_activations = Options.Choice("--activations", "What the products with ternary weights take; 8bit: rounded token by token, as in the paper.", "float", "8bit");
    private static readonly Option<int> s_rank = Options.Integer("--rank", "Rank of the adapters.", 8, 1, 4096);
    private static readonly Option<double> s_alpha = Options.Real("--alpha", "Factor of the adapters, over their rank.", "A", 16, 0, 1e6);
    private static readonly Option<int> s_loftq = Options.Integer("--loftq", "Rounds in which quantizer and adapters are fitted to the weight in turn before the training, for qlora; 0: adapters begin at zero.", 0, 0, 100);
    private static readonly Option<int> s_lqLora = Options.Integer("--lq-lora", "At most so many rounds in which adapters and quantizer are fitted to the weight in turn, the adapters first, for qlora.", 0, 0, 100);
    private static readonly Option<int> s_fisher = Options.Integer("--fisher", "Windows of the training text whose gradients say which errors count, for --lq-lora; 0: all count alike.", 16, 0, 100_000);
    private static readonly Option<double> s_targetBits = Options.Real("--target-bits", $"Give every linear its own grid of {LqLoraBits.Candidates.Length}, so that all together take at most this many bits a weight, scales included and adapters not, for --lq-lora; 0: NF4 everywhere.", "B", 0, 0, 16);
    private static readonly Option<string> s_adapters = Options.Choice("--adapters", "merged: into weights in float; separate: beside the weights as they are, packed ones stay so and lose nothing.", "merged", "separate");
    private static readonly Option<string> s_type = Options.Choice("--type", "What weights in float are stored as.", "f32", "f16");
    private static readonly Option<bool> s_trainAll = Options.Flag("--train-all", "Train embeddings, norms and biases too.");

    private static readonly TrainingMethod[] s_all =
    [
        new("pb-llm", [s_salient, s_saliency, s_salientBits, s_trainSalient, s_fixedScale, s_scaleOf, s_positions, s_scales, s_trainAll], true, PbLlm, FromNothing: true),
        new("full", [s_type], true, null, Packs: false, FromNothing: true),
        new("xnor", [s_scales, s_trainAll], true, Binary(new Xnor()), FromNothing: true),
        new("bnn", [s_scales, s_trainAll], true, Binary(new Bnn())),
        new("bi-real", [s_scales, s_trainAll], true, Binary(new BiReal()), FromNothing: true),
        new("ir-net", [s_scales, s_trainAll], true, Binary(new IrNet()), FromNothing: true),
        new("fda", [s_scales, s_trainAll], true, Binary(new FrequencyDomain())),
        new("recu", [s_scales, s_trainAll], true, Binary(new ReCu()), FromNothing: true),
        new("bitnet", [s_activations, s_scales, s_trainAll], true, (context, _) => new BitNet(Precision(context.Invocation)), FromNothing: true),
        new("llm-qat", [s_bits, s_activations, s_scales, s_trainAll], true, (context, _) => new LlmQat(context.Invocation.Get(s_bits), Precision(context.Invocation))),
        new("onebit", [s_trainAll], true, (_, linear) => new OneBit(linear.Weight), FromNothing: true),
        new("efficientqat", [s_bits, s_groupSize, s_fixedCodes, s_blockSteps, s_blockRate, s_blockBatches, s_scales, s_trainAll], true, Uniform, FromNothing: true),
        new("lora", [s_rank, s_alpha, s_adapters, s_type], false, null, (_, _, _) => new TrainingAdapters(), Packs: false),
        new("qlora", [s_rank, s_alpha, s_loftq, s_lqLora, s_fisher, s_targetBits, s_adapters, s_type], false, null, OverPacked, Packs: false),
        new("qa-lora", [s_rank, s_alpha, s_bits, s_groupSize], false, null, OverUniform),
    ];

    public static IReadOnlyList<Option> Settings { get; } = [.. s_all.SelectMany(method => method.Settings).Distinct()];

    /// <summary>Names, the default first.</summary>
    /// <param name="first">The default.</param>
    /// <param name="fromNothing">Only those that can begin from random weights.</param>
    public static string[] Names(string first, bool fromNothing = false) =>
        [first, .. s_all.Where(method => method.FromNothing || !fromNothing).Select(method => method.Name).Where(name => name != first)];

    /// <summary>A method by its name.</summary>
    /// <param name="invocation">Options.</param>
    /// <param name="name">Name.</param>
    /// <param name="hasLearned">Whether the training goes on from a model, not from random weights.</param>
    /// <exception cref="UsageException">A setting is given that the method does not have, or that contradicts the others.</exception>
    public static TrainingMethod Find(Invocation invocation, string name, bool hasLearned)
    {
        TrainingMethod method = Array.Find(s_all, method => method.Name == name)!;
        foreach (Option option in Settings.Except(method.Settings))
        {
            if (invocation.Has(option)) throw new UsageException($"method {name} has no setting {option.Name}.");
        }
        if (!hasLearned && invocation.Get(s_saliency) == "hessian") throw new UsageException("--saliency hessian needs a model that has learned something; use magnitude.");
        if (invocation.Get(s_blockSteps) > 0)
        {
            if (!hasLearned) throw new UsageException("--block-steps needs a model that has learned something; leave it away.");
            if (invocation.Get(s_fixedCodes) || invocation.Get(s_trainAll)) throw new UsageException("--block-steps has phases of its own; leave --fixed-codes and --train-all away.");
            if (invocation.Get(s_blockRate) == 0) throw new UsageException("--block-learning-rate is 0; expected a number above 0.");
        }
        if (invocation.Get(s_loftq) > 0 && invocation.Get(s_lqLora) > 0) throw new UsageException("--loftq and --lq-lora are two ways to begin; give one of them.");
        if (invocation.Get(s_lqLora) == 0 && invocation.Has(s_fisher)) throw new UsageException("--fisher belongs to --lq-lora; give both.");
        if (invocation.Get(s_lqLora) == 0 && invocation.Get(s_targetBits) > 0) throw new UsageException("--target-bits belongs to --lq-lora; give both.");
        return method;
    }

    /// <summary>The settings that stand on the command line, in one line.</summary>
    public static string Describe(Invocation invocation) => string.Join(' ', Settings.Where(invocation.Has)
        .SelectMany(option => (string[])[option.Name, .. invocation.Arguments.GetResult(option)!.Tokens.Select(token => token.Value)]));

    /// <summary>Marks what is trained and gives the linears their forms.</summary>
    public static void Apply(TrainingMethod method, TrainingContext context)
    {
        Invocation invocation = context.Invocation;
        if (context.Source is null || invocation.Get(s_trainAll) || (method.Form is null && method.Base is null))
        {
            foreach (Parameter parameter in context.Model.Parameters) parameter.Trainable = true;
        }
        context.Adapters?.Attach(context.Model, invocation.Get(s_rank), invocation.Get(s_alpha), TrainingCommand.Seed(invocation), method.Packs ? PooledGroup(invocation) : 1);
        if (method.Form is null) return;
        if (invocation.Get(s_blockSteps) > 0)
        {
            ByBlocks(context);
            return;
        }
        if (invocation.Get(s_saliency) == "hessian") context = context with { Salient = ByHessian(context) };
        foreach (TrainableLinear linear in context.Model.Linears)
        {
            linear.Weight.Trainable = method.TrainsWeights && !invocation.Get(s_fixedCodes);
            linear.Use(method.Form(context, linear));
            linear.RoundsInputs = invocation.Get(s_activations) == "8bit";
        }
    }

    /// <summary>Brings a trained model into the form in which it will be written, so that it is measured as it is read again.</summary>
    public static void Finish(Invocation invocation, TrainableModel model)
    {
        if (IsSeparate(invocation)) SeparateAdapter.Round(model);
    }

    /// <summary>Writes the trained model: packed where the method has codes, else in float.</summary>
    /// <param name="invocation">Options.</param>
    /// <param name="method">The method.</param>
    /// <param name="model">The trained model.</param>
    /// <param name="source">The model that it began from, or null.</param>
    /// <param name="config">What <c>config.json</c> says of a float model.</param>
    /// <param name="tokenizer">The model or folder whose tokenizer is copied.</param>
    /// <param name="report">Gets the sizes.</param>
    /// <param name="pool">Threads.</param>
    public static TrainingReport Write(Invocation invocation, TrainingMethod method, TrainableModel model, LanguageModel? source, JsonObject config, string tokenizer, TrainingReport report, WorkerPool pool)
    {
        if (!method.Packs && !IsSeparate(invocation))
        {
            FloatFolder.Write(report.Output, model, config, tokenizer, pool, invocation.Get(s_type) == "f16" ? ElementFormat.F16 : ElementFormat.F32);
            return report;
        }
        QuantizeOptions options = new()
        {
            Method = method.Name,
            MethodOptions = new TrainedMethod(method.Name, Describe(invocation), 0) { ScalePrecision = Precision(invocation) },
            Output = report.Output,
            // Without salient weights coded positions take next to nothing.
            Positions = method.Name == "pb-llm" && invocation.Get(s_positions) == "bitmap" ? PositionsForm.Bitmap : PositionsForm.Coded,
        };
        if (source is not null && !invocation.Get(s_trainAll))
        {
            IEnumerable<Parameter> norms = invocation.Get(s_blockSteps) > 0 ? model.Blocks.SelectMany(block => block.Norms).Select(norm => norm.Weight) : [];
            return Sizes(report, PackedFolder.Write(options, model, source, pool, norms));
        }
        // Everything was trained: the rest comes from a float folder of the trained model, in no more bits than it had before.
        string temporary = report.Output.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".float";
        try
        {
            bool isHalf = source is not null && source.Checkpoint.Tensors.Values.All(tensor => tensor.Format == ElementFormat.F16);
            FloatFolder.Write(temporary, model, config, tokenizer, pool, isHalf ? ElementFormat.F16 : ElementFormat.F32);
            using LanguageModel trained = LanguageModel.Open(temporary);
            return Sizes(report, PackedFolder.Write(options, model, trained, pool));
        }
        finally
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
        }
    }

    private static TrainingReport Sizes(TrainingReport report, PackedSize size) => report with
    {
        WeightBytes = size.WeightBytes,
        BitsPerWeight = size.BitsPerWeight,
        LinearBitsPerWeight = size.LinearBitsPerWeight,
        NominalBitsPerWeight = size.NominalBitsPerWeight,
    };

    private static ScalePrecision Precision(Invocation invocation) => invocation.Get(s_scales) == "f16" ? ScalePrecision.Float16 : ScalePrecision.Float32;

    private static PbLlmTraining PbLlm(TrainingContext context, TrainableLinear linear) => new(
        context.Pool,
        linear.Weight,
        new PbLlmTrainingOptions
        {
            SalientShare = context.Invocation.Get(s_salient),
            SalientBits = context.Invocation.Get(s_salientBits),
            TrainSalient = context.Invocation.Get(s_trainSalient),
            FixedScale = context.Invocation.Get(s_fixedScale),
            ScaleOfMatrix = context.Invocation.Get(s_scaleOf) == "matrix",
            ScalePrecision = Precision(context.Invocation),
        },
        context.Salient?[linear]);

    private static IReadOnlyDictionary<TrainableLinear, bool[]> ByHessian(TrainingContext context)
    {
        int length = Math.Min(CalibrationContext, context.Model.Config.ContextLength);
        CalibrationSet calibration = CalibrationSet.Draw([context.Ids], length, Math.Clamp(context.Ids.Length / length, 1, CalibrationWindows), CalibrationSampling.Sequential, seed: 0);
        return SaliencyByHessian.Mark(context.Source!, context.Model, calibration, context.Invocation.Get(s_salient), context.Pool, context.Invocation.Cancellation);
    }

    private static Func<TrainingContext, TrainableLinear, IWeightForm> Binary(IBinarizer binarizer) =>
        (context, _) => new BinaryTraining(binarizer, Precision(context.Invocation));

    private static UniformTraining Uniform(TrainingContext context, TrainableLinear linear) => new(linear.Weight, new UniformTrainingOptions
    {
        Bits = context.Invocation.Get(s_bits),
        GroupSize = context.Invocation.Get(s_groupSize),
        FixedCodes = context.Invocation.Get(s_fixedCodes),
        TrainZeros = context.Invocation.Get(s_blockSteps) > 0,
        ScalePrecision = Precision(context.Invocation),
    });

    // Block-AP, and what E2E-QP then goes on from.
    private static void ByBlocks(TrainingContext context)
    {
        Invocation invocation = context.Invocation;
        BlockTrainingOptions options = new()
        {
            Steps = invocation.Get(s_blockSteps),
            Batch = TrainingCommand.Batch(invocation),
            Batches = invocation.Get(s_blockBatches),
            LearningRate = invocation.Get(s_blockRate),
        };
        using BlockTraining training = new(context.Model, TrainingCommand.Windows(invocation, context.Model.Config, context.Ids), options, context.Pool);
        training.Run(
            linear => Uniform(context, linear),
            context.Folder,
            report => invocation.Terminal.Note(FormattableString.Invariant($"block {report.Block + 1} of {context.Model.Blocks.Length}: error of the output {report.Before:P2} before, {report.After:P2} after")),
            invocation.Cancellation);
        foreach (TrainableLinear linear in context.Model.Linears) ((UniformTraining)linear.Form!).FixCodes(linear.Weight);
    }

    private static bool IsSeparate(Invocation invocation) => invocation.Get(s_adapters) == "separate";

    private static TrainingAdapters OverPacked(Invocation invocation, LanguageModel source, WorkerPool pool)
    {
        int rank = invocation.Get(s_rank), loftq = invocation.Get(s_loftq), lqLora = invocation.Get(s_lqLora);
        TableRtnOptions grid = new();
        if (lqLora == 0)
            return TrainingAdapters.OverPacked(source, loftq == 0 ? null : layer => LoftQ.Begin(layer, grid, rank, loftq, pool, invocation.Cancellation), pool, invocation);
        IReadOnlyDictionary<string, SeparableWeights>? weights = invocation.Get(s_fisher) == 0 ? null : Fisher(invocation, source, pool);
        IReadOnlyDictionary<string, MethodOptions>? grids = invocation.Get(s_targetBits) == 0 ? null : LqLoraBits.Choose(
            [.. TrainingAdapters.FloatLayers(source).Select(layer => LqLoraBits.Measure(layer, rank, lqLora, weights?[layer.Name], pool, invocation.Cancellation))], invocation.Get(s_targetBits));
        return TrainingAdapters.OverPacked(source, layer => LqLora.Begin(layer, grids?[layer.Name] ?? grid, rank, lqLora, weights?[layer.Name], pool, invocation.Cancellation), pool, invocation);
    }

    private static IReadOnlyDictionary<string, SeparableWeights> Fisher(Invocation invocation, LanguageModel source, WorkerPool pool)
    {
        using TrainableModel model = TrainableModel.From(source);
        return FisherDiagonal.Measure(model, TrainingCommand.Windows(invocation, source.Config, TrainingCommand.Tokens(invocation, source)), invocation.Get(s_fisher), pool, invocation.Cancellation);
    }

    private static TrainingAdapters OverUniform(Invocation invocation, LanguageModel source, WorkerPool pool) =>
        TrainingAdapters.OverUniform(source, new RtnOptions { Bits = invocation.Get(s_bits), GroupSize = PooledGroup(invocation) }, pool, invocation);

    private static int PooledGroup(Invocation invocation) => invocation.Has(s_groupSize) ? invocation.Get(s_groupSize) : PooledInputs;
}
