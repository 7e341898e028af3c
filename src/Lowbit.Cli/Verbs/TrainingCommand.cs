using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;
using Lowbit.Training.Data;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;
using Lowbit.Training.Run;

namespace Lowbit.Cli.Verbs;

/// <summary>A finished training.</summary>
internal sealed record TrainingReport
{
    public required string Model { get; init; }
    public required string Output { get; init; }
    public required string Method { get; init; }
    public required int Steps { get; init; }

    /// <summary>Tokens trained on.</summary>
    public required long Tokens { get; init; }
    public required long TrainedParameters { get; init; }

    /// <summary>Loss of the first step.</summary>
    public required double FirstLoss { get; init; }

    /// <summary>Mean loss of the last fiftieth of the steps.</summary>
    public required double Loss { get; init; }
    public required double Seconds { get; init; }
    public required double TokensPerSecond { get; init; }
    public required long PeakMemoryBytes { get; init; }
    public long? WeightBytes { get; init; }
    public double? BitsPerWeight { get; init; }
    public double? LinearBitsPerWeight { get; init; }
    public double? NominalBitsPerWeight { get; init; }

    /// <summary>Of <c>--eval-text</c>, by the protocol gptq; absent without one, as what follows.</summary>
    public double? Perplexity { get; init; }

    /// <summary>Before the first step, through the method.</summary>
    public double? PerplexityBefore { get; init; }

    /// <summary>Of the model as it was given.</summary>
    public double? PerplexityOfSource { get; init; }
}

/// <summary>What a verb hands to the common part of training.</summary>
internal sealed record TrainingJob
{
    /// <summary>The model as the user gave it.</summary>
    public required string Path { get; init; }

    /// <summary>Name of the method.</summary>
    public required string Method { get; init; }

    /// <summary>The method's settings, to recognise the same training.</summary>
    public required string Settings { get; init; }
    public required TrainableModel Model { get; init; }
    public required Tokenizer Tokenizer { get; init; }

    /// <summary>Marks what is trained and puts the method on the model, given the tokens of the training text and the folder of an interrupted training.</summary>
    public required Action<int[], TrainingFolder> Apply { get; init; }

    /// <summary>Brings the trained model into the form that is written; before it is measured.</summary>
    public Action? Finish { get; init; }

    /// <summary>Writes the result and adds its sizes to the report.</summary>
    public required Func<TrainingReport, TrainingReport> Write { get; init; }
    public TrainableModel? Teacher { get; init; }
    public double TeacherShare { get; init; }
}

/// <summary>What <c>train</c> and <c>finetune</c> share: options, texts, the loop with its progress, the report.</summary>
internal static class TrainingCommand
{
    private const int LongestDefaultContext = 256, LongestEvaluation = 2048;

    private static readonly Option<string?> s_output = OutputPath.Option("The folder to write.", "OUT");
    private static readonly Option<string[]> s_text = new("--text") { Description = "Text to train on: UTF-8, or JSON lines with `text`, packed by gzip or not; may be given several times.", HelpName = "FILE", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string?> s_evalText = Options.Text("--eval-text", "Text to measure the perplexity on, before and after.", "FILE");
    private static readonly Option<int> s_steps = Options.Integer("--steps", "Steps of the optimizer.", 1000, minimum: 1);
    private static readonly Option<int> s_batch = Options.Integer("--batch", "Sequences of a batch.", 8, minimum: 1);
    private static readonly Option<int> s_context = Options.Integer("--context", $"Tokens of a sequence; 0 for what the model reads, at most {LongestDefaultContext}.", 0, minimum: 0);
    private static readonly Option<int> s_accumulate = Options.Integer("--accumulate", "Batches whose gradients make a step.", 1, minimum: 1);
    private static readonly Option<double> s_learningRate = Options.Real("--learning-rate", "The largest learning rate.", "R", 1e-3, 0, 100);
    private static readonly Option<double> s_warmUp = Options.Real("--warm-up", "Share of the steps in which the learning rate goes up.", "R", 0.05, 0, 1);
    private static readonly Option<string> s_schedule = Options.Choice("--schedule", "How the learning rate goes down.", "cosine", "linear", "constant");
    private static readonly Option<double> s_clip = Options.Real("--clip", "Longest gradient; 0 for no limit.", "L", 1, 0, 1e9);
    private static readonly Option<string> s_optimizer = Options.Choice("--optimizer", "adamw8 keeps the running means in eight bits.", "adamw", "adamw8");
    private static readonly Option<double> s_beta1 = Options.Real("--beta1", "Share of the running mean of gradients that stays in a step.", "B", 0.9, 0, 0.999999);
    private static readonly Option<double> s_beta2 = Options.Real("--beta2", "Share of the running mean of squared gradients that stays in a step.", "B", 0.999, 0, 0.999999);
    private static readonly Option<double> s_weightDecay = Options.Real("--weight-decay", "Decoupled weight decay.", "D", 0, 0, 100);
    private static readonly Option<bool> s_recompute = Options.Flag("--recompute", "Compute activations again on the way back: less memory, a third more time.");
    private static readonly Option<string> s_storage = Options.Choice("--activations-storage", "What activations are kept in for the way back; bf16: half the memory, gradients of about three digits.", "f32", "bf16");
    private static readonly Option<double> s_dropout = Options.Real("--dropout", "Share of numbers that are dropped behind the embedding, in the attention and behind the parts of a block; for GPT-2, OPT and GPT-NeoX.", "R", 0, 0, 0.99);
    private static readonly Option<int> s_seed = Options.Integer("--seed", "Decides the places of the windows and random weights.", 0, minimum: 0);
    private static readonly Option<int> s_checkpoint = Options.Integer("--checkpoint-every", "Steps between two checkpoints.", 200, minimum: 1);
    private static readonly Option<bool> s_resume = Options.Flag("--resume", "Go on from the checkpoint of an interrupted training.");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at OUT and throw away an interrupted training.");

    public static IEnumerable<Symbol> Symbols =>
    [
        s_output, s_text, s_evalText, s_steps, s_batch, s_context, s_accumulate, s_learningRate, s_warmUp, s_schedule, s_clip, s_optimizer, s_beta1, s_beta2, s_weightDecay,
        s_recompute, s_storage, s_dropout, s_seed, s_checkpoint, s_resume, s_force,
    ];

    public static IEnumerable<string> Documents(Invocation invocation) => invocation.Get(s_text).SelectMany(CalibrationText.Documents);

    public static int Seed(Invocation invocation) => invocation.Get(s_seed);

    public static int Batch(Invocation invocation) => invocation.Get(s_batch);

    /// <summary>Tokens of the training text.</summary>
    public static int[] Tokens(Invocation invocation, LanguageModel source) =>
        CalibrationText.Tokens(TokenizerLoader.Load(source.Checkpoint.Path), source.Config, invocation.Get(s_text));

    /// <summary>The training text in windows, as the training itself takes them.</summary>
    public static TokenWindows Windows(Invocation invocation, ModelConfig config, int[] ids) => new(ids, Context(invocation, config), invocation.Get(s_seed));

    /// <summary>Refuses a command line without output or text, and an output that is there.</summary>
    public static void RequireOutput(Invocation invocation, string verb)
    {
        string output = invocation.Get(s_output) ?? throw new UsageException($"{verb} needs -o OUT, the folder to write.");
        if ((invocation.Get(s_text) ?? []).Length == 0) throw new UsageException($"{verb} needs --text FILE, what to train on.");
        OutputPath.RequireFree(output, invocation.Get(s_force));
    }

    /// <summary>Trains a model and writes the result.</summary>
    /// <param name="invocation">Options and terminal.</param>
    /// <param name="job">What to train and how.</param>
    /// <param name="pool">Threads.</param>
    public static TrainingReport Run(Invocation invocation, TrainingJob job, WorkerPool pool)
    {
        Stopwatch total = Stopwatch.StartNew();
        TrainableModel model = job.Model;
        TrainingOptions options = Read(invocation, model.Config) with { TeacherShare = job.TeacherShare };
        options.Validate();
        int[] ids = CalibrationText.Tokens(job.Tokenizer, model.Config, invocation.Get(s_text));
        TokenWindows data = Windows(invocation, model.Config, ids);
        string fingerprint = string.Join("; ", model.Fingerprint(), job.Method, job.Settings, options, data.Fingerprint);
        TrainingFolder folder = new(invocation.Get(s_output)!, fingerprint, invocation.Get(s_resume), invocation.Get(s_force));

        int[]? evaluation = invocation.Get(s_evalText) is { } file ? CalibrationText.Tokens(job.Tokenizer, model.Config, [file]) : null;
        double? Measure() => evaluation is null ? null
            : Math.Exp(HeldOutLoss.Measure(model, pool, evaluation, Math.Min(LongestEvaluation, model.Config.ContextLength), invocation.Cancellation));
        double? ofSource = Measure();
        double? before;
        IReadOnlyList<StepReport> steps;
        try
        {
            job.Apply(ids, folder);
            before = Measure();
            using Trainer trainer = new(model, data, options, pool, job.Teacher);
            using var progress = new ProgressLine(invocation.Terminal, "train", "tokens", (double)options.Steps * options.TokensPerStep);
            steps = folder.Train(trainer, invocation.Get(s_checkpoint), step => progress.Report((double)step.Step * options.TokensPerStep, Note(step, options)), invocation.Cancellation);
        }
        catch (OperationCanceledException)
        {
            invocation.Terminal.Note("What was trained is kept; the same command with --resume goes on from there.");
            throw;
        }
        job.Finish?.Invoke();
        TrainingReport report = job.Write(new TrainingReport
        {
            Model = job.Path,
            Output = invocation.Get(s_output)!,
            Method = job.Method,
            Steps = options.Steps,
            Tokens = options.Steps * options.TokensPerStep,
            TrainedParameters = model.Trained.Sum(parameter => parameter.Count),
            FirstLoss = steps[0].Loss,
            Loss = steps.TakeLast(Math.Max(1, steps.Count / 50)).Average(step => step.Loss),
            Seconds = 0,
            TokensPerSecond = options.TokensPerStep * steps.Count / steps.Sum(step => step.Seconds),
            PeakMemoryBytes = ProgramMemory.Peak,
            Perplexity = Measure(),
            PerplexityBefore = before,
            PerplexityOfSource = ofSource,
        });
        folder.Finish(report.Output);
        return report with { Seconds = total.Elapsed.TotalSeconds };
    }

    public static void Show(Invocation invocation, TrainingReport report) => invocation.Terminal.Result(report, JsonReports.Default.TrainingReport, Picture);

    private static double Dropout(Invocation invocation, ModelConfig config)
    {
        double share = invocation.Get(s_dropout);
        if (share > 0 && config.Norm != NormKind.Layer) throw new UsageException($"--dropout is for GPT-2, OPT and GPT-NeoX; {config.ModelType} has none.");
        return share;
    }

    private static int Context(Invocation invocation, ModelConfig config) =>
        invocation.Get(s_context) is var context and > 0 ? context : Math.Min(LongestDefaultContext, config.ContextLength);

    private static TrainingOptions Read(Invocation invocation, ModelConfig config) => new()
    {
        Steps = invocation.Get(s_steps),
        Batch = invocation.Get(s_batch),
        Context = Context(invocation, config),
        Accumulation = invocation.Get(s_accumulate),
        LearningRate = invocation.Get(s_learningRate),
        WarmUp = invocation.Get(s_warmUp),
        Decay = invocation.Get(s_schedule) switch { "linear" => Decay.Linear, "constant" => Decay.Constant, _ => Decay.Cosine },
        Clip = invocation.Get(s_clip),
        Optimizer = new AdamWOptions { Beta1 = (float)invocation.Get(s_beta1), Beta2 = (float)invocation.Get(s_beta2), WeightDecay = (float)invocation.Get(s_weightDecay), EightBit = invocation.Get(s_optimizer) == "adamw8" },
        Recompute = invocation.Get(s_recompute),
        BFloat16Activations = invocation.Get(s_storage) == "bf16",
        Dropout = Dropout(invocation, config),
    };

    private static string Note(StepReport step, TrainingOptions options) => string.Create(CultureInfo.InvariantCulture,
        $"step {step.Step} of {options.Steps}, loss {step.Loss:F4}, {Quantities.Bytes(Environment.WorkingSet)}");

    private static void Picture(Terminal _, TrainingReport report)
    {
        static string Number(double value) => Quantities.Significant(value, 5);
        List<(string, string)> facts =
        [
            ("method", report.Method),
            ("output", report.Output),
            ("trained", $"{Quantities.Count(report.TrainedParameters)} parameters, {report.Steps} steps, {Quantities.Count(report.Tokens)} tokens"),
            ("loss", $"{Number(report.FirstLoss)} at first, {Number(report.Loss)} at the end"),
        ];
        if (report.PerplexityOfSource is { } source) facts.Add(("perplexity", $"{Number(source)} as given, {Number(report.PerplexityBefore!.Value)} before training, {Number(report.Perplexity!.Value)} after"));
        if (report.LinearBitsPerWeight is { } bits) facts.Add(("packed linears", $"{bits.ToString("F3", CultureInfo.InvariantCulture)} bits per weight, {report.NominalBitsPerWeight!.Value.ToString("F3", CultureInfo.InvariantCulture)} by the paper's count"));
        facts.Add(("time, peak memory", $"{Quantities.Significant(report.Seconds, 3)} s, {Quantities.Bytes(report.PeakMemoryBytes)}"));
        facts.Add(("speed", $"{Quantities.Significant(report.TokensPerSecond, 3)} tokens a second"));
        Terminal.Write(Terminal.Facts([.. facts]));
    }
}
