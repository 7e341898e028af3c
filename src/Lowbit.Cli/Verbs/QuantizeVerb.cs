using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.Linq;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Pipeline;
using Lowbit.Tokenizers;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>Quantizes a model and writes a folder that stands alone.</summary>
internal static class QuantizeVerb
{
    private const int LongestDefaultContext = 2048;

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_output = OutputPath.Option("The folder to write.", "OUT");
    private static readonly Option<string[]> s_calibration = new("--calibration") { Description = "Text to calibrate with: a UTF-8 file, JSON lines with `text`, packed by gzip or not, a folder of such files, or the name of a file or folder in LOWBIT_DATA; may be given several times.", HelpName = "FILE", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<int> s_samples = Options.Integer("--samples", $"Windows of calibration text; 0 for {CalibrationSet.DefaultSamples}, or all there are with --sampling sequential.", 0, minimum: 0);
    private static readonly Option<int> s_context = Options.Integer("--context", "Tokens of a window; 0 for what the model reads, at most 2048.", 0, minimum: 0);
    private static readonly Option<string> s_sampling = Options.Choice("--sampling", "Windows at random places, or the first ones that do not overlap.", "random", "sequential");
    private static readonly Option<int> s_seed = Options.Integer("--seed", "Where the random windows lie.", 0, minimum: 0);
    private static readonly Option<string> s_embeddings = Options.Choice("--embeddings", "What embeddings and the output projection are stored as.", "keep", "f16", "q8_0");
    private static readonly Option<string> s_positions = Options.Choice("--positions", "How the positions of salient weights are stored: coded is smaller on disk.", "bitmap", "coded");
    private static readonly Option<bool> s_dryRun = Options.Flag("--dry-run", "Say what the run would need and give, and write nothing.");
    private static readonly Option<string> s_scales = Options.Choice("--scales", "Precision of scales and means; f16 takes half the bytes and is rounded before weights are.", "f16", "f32");
    private static readonly Option<string?> s_recipe = Options.Text("--recipe", "Methods and settings by names of linears, in JSON; what no rule fits goes by the options here.", "FILE");
    private static readonly Option<double> s_targetBits = Options.Real("--target-bits", "Give every linear its own number of bits (or share of salient weights), so that all together take this many a weight, scales included; 0 for the same everywhere.", "B", 0, 0, 16);
    private static readonly Option<long> s_memoryLimit = Options.Size("--memory-limit", "Memory to stay under, as in 2GB: hidden states of the calibration text go to a file where they do not fit, and a run that cannot keep it does not begin.");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at OUT, and write the model even if it computes nonsense.");

    public static Command Create() => new Verb(
        "quantize",
        "Compress a model. The same command again after an interruption goes on where it stopped.",
        "lowbit quantize models/SmolLM2 -o out/small --calibration wiki.valid.raw --samples 16 --sampling sequential\nlowbit quantize models/SmolLM2 -o out/4bit --method gptq --bits 4 --group-size 64 --calibration wiki.valid.raw",
        Execute,
        [s_model, s_output, s_calibration, s_samples, s_context, s_sampling, s_seed, s_embeddings, s_positions, s_scales, s_recipe, s_targetBits, s_memoryLimit, s_dryRun, s_force, .. MethodArguments.All]);

    private static void Execute(Invocation invocation)
    {
        ScalePrecision precision = invocation.Get(s_scales) == "f16" ? ScalePrecision.Float16 : ScalePrecision.Float32;
        string method = invocation.Get(MethodArguments.Method);
        string? recipe = invocation.Get(s_recipe);
        double targetBits = invocation.Get(s_targetBits);
        if (recipe is not null && targetBits > 0) throw new UsageException("--recipe says what every linear becomes and --target-bits searches it; give one of them.");
        var options = new QuantizeOptions
        {
            Method = method,
            MethodOptions = MethodArguments.Read(invocation) with { ScalePrecision = precision },
            Recipe = recipe is null ? null : Recipe.Read(recipe, precision),
            Target = targetBits == 0 ? null : BitTarget.Create(targetBits, method, MethodArguments.Values(invocation), precision),
            Output = invocation.Get(s_output) ?? throw new UsageException("quantize needs -o OUT, the folder to write."),
            Embeddings = invocation.Get(s_embeddings) switch { "f16" => EmbeddingFormat.F16, "q8_0" => EmbeddingFormat.Q8_0, _ => EmbeddingFormat.Keep },
            Positions = invocation.Get(s_positions) == "coded" ? PositionsForm.Coded : PositionsForm.Bitmap,
            Force = invocation.Get(s_force),
            MemoryLimit = invocation.Get(s_memoryLimit),
        };
        string[] texts = invocation.Get(s_calibration) ?? [];
        if (texts.Length == 0 && options.Target is not null) throw new UsageException("--target-bits needs --calibration FILE, text to measure on what a linear bears.");
        if (texts.Length == 0 && options.Recipe is null && options.MethodOptions.NeedsHessian)
            throw new UsageException($"method {options.Method} needs --calibration FILE, text that the model shall stay good at.");
        string path = invocation.Get(s_model);
        using LanguageModel model = LanguageModel.Open(path);
        CalibrationSet? calibration = texts.Length == 0 ? null : Draw(invocation, model, TokenizerLoader.Load(path), texts);
        using var pool = new WorkerPool(invocation.Threads);
        if (invocation.Get(s_dryRun))
        {
            invocation.Terminal.Result(QuantizePlan.Make(options, model, calibration, pool), JsonReports.Default.QuantizePlan, Picture);
            return;
        }
        QuantizeReport report = Quantize(invocation, options, model, calibration, pool);
        foreach (string warning in report.Warnings) Terminal.Warn(warning);
        invocation.Terminal.Result(report, JsonReports.Default.QuantizeReport, Picture);
    }

    /// <summary>Runs the pipeline with progress on the terminal.</summary>
    internal static QuantizeReport Quantize(Invocation invocation, QuantizeOptions options, LanguageModel model, CalibrationSet? calibration, WorkerPool pool)
    {
        try
        {
            using var progress = new ProgressLine(invocation.Terminal, "quantize", unit: null, total: 1);
            return QuantizePipeline.Run(options, model, calibration, pool, new Relay(progress), invocation.Cancellation);
        }
        catch (OperationCanceledException)
        {
            invocation.Terminal.Note($"The finished layers are kept beside {options.Output}; the same command goes on from there.");
            throw;
        }
    }

    private static CalibrationSet Draw(Invocation invocation, LanguageModel model, Tokenizer tokenizer, string[] texts)
    {
        int context = invocation.Get(s_context), longest = model.Config.ContextLength, samples = invocation.Get(s_samples);
        if (context > longest) throw new LowbitException($"--context is {context}, but the model reads at most {longest} tokens; choose a context within that.");
        if (context == 0) context = Math.Min(LongestDefaultContext, longest);
        var documents = new List<int[]>();
        foreach (string document in texts.SelectMany(CalibrationText.Files).SelectMany(CalibrationText.Documents))
        {
            invocation.Cancellation.ThrowIfCancellationRequested();
            documents.Add([.. tokenizer.EncodePlain(document)]);
        }
        CalibrationSampling sampling = invocation.Get(s_sampling) == "random" ? CalibrationSampling.Random : CalibrationSampling.Sequential;
        return CalibrationSet.Draw(documents, context, samples == 0 ? null : samples, sampling, invocation.Get(s_seed));
    }

    private static void Picture(Terminal terminal, QuantizePlan plan)
    {
        PictureSummary(plan);
        bool isMixed = plan.Assignments.Any(layer => layer.Method != plan.Assignments[0].Method || layer.BitsPerWeight != plan.Assignments[0].BitsPerWeight);
        if (!isMixed && !terminal.IsVerbose) return;
        Table table = Terminal.Table("layer", "method", "bits per weight");
        foreach (PlannedLayer layer in plan.Assignments)
            table.AddRow(new Text(layer.Name), new Text(layer.Method), new Text(layer.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)));
        Terminal.Write(table);
    }

    private static void PictureSummary(QuantizePlan plan) => Terminal.Write(Terminal.Facts(
        ("layers", plan.Layers.ToString(CultureInfo.InvariantCulture)),
        ("weights", $"{Quantities.Bytes(plan.WeightBytes)}, {plan.BitsPerWeight.ToString("F2", CultureInfo.InvariantCulture)} bits per weight in all; the source has {Quantities.Bytes(plan.SourceBytes)}"),
        ("disk", Quantities.Bytes(plan.DiskBytes)),
        ("memory", $"about {Quantities.Bytes(plan.PeakMemoryBytes)}{(plan.HiddenStatesInFile ? ", hidden states in a file" : "")}"),
        ("time", $"about {Quantities.Duration(TimeSpan.FromSeconds(plan.Seconds))}"),
        ("calibration", $"{plan.CalibrationTokens} tokens")));

    private static void Picture(Terminal terminal, QuantizeReport report)
    {
        Terminal.Write(Terminal.Facts(
            ("method", report.Method),
            ("output", report.Output),
            ("weights", $"{report.WeightBytes.ToString("N0", CultureInfo.InvariantCulture)} bytes, {report.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} bits per weight in all"),
            ("quantized linears", $"{report.LinearBitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} bits per weight, {report.NominalBitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} by the paper's count"),
            ("calibration", Calibration(report)),
            ("time, peak memory", $"{Quantities.Significant(report.Seconds, 3)} s, {Quantities.Bytes(report.PeakMemoryBytes)}")));
        Table table = Terminal.Table("layer", "output error", "bits per weight");
        IEnumerable<LayerReport> shown = terminal.IsVerbose ? report.Layers : report.Layers.OrderByDescending(layer => layer.OutputError).Take(10);
        foreach (LayerReport layer in shown)
            table.AddRow(new Text(layer.Name), new Text(Quantities.Significant(layer.OutputError, 4)), new Text(layer.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)));
        Terminal.Write(table);
        if (report.Allocation is { } allocation) PictureAllocation(terminal, allocation);
        foreach (string sentence in report.Diagnosis) Terminal.WriteLine(sentence);
        if (!terminal.IsVerbose && report.Layers.Count > 10) Terminal.WriteLine($"The ten layers with the largest error of {report.Layers.Count}; --verbose shows all.");
    }

    private static string Calibration(QuantizeReport report)
    {
        if (report.Coverage is not { } coverage) return "none";
        string dead = coverage.DeadInputs.Count == 0 ? "no dead inputs" : $"{coverage.DeadInputs.Sum(layer => layer.Inputs)} dead inputs in {coverage.DeadInputs.Count} layers";
        return $"{coverage.Tokens} tokens, {coverage.DistinctTokens} different ones of {coverage.Vocabulary}, {dead}; perplexity on it {Quantities.Significant(report.CalibrationPerplexityBefore ?? double.NaN, 4)}, now {Quantities.Significant(report.CalibrationPerplexity ?? double.NaN, 4)}";
    }

    private static void PictureAllocation(Terminal terminal, IReadOnlyList<AllocatedLayer> allocation)
    {
        // Only what differs between the layers.
        string Settings(AllocatedLayer layer) => string.Join(' ', layer.Settings.Where(setting => allocation.Any(other => other.Settings[setting.Key] != setting.Value)).Select(setting => $"{setting.Key} {setting.Value}"));
        Terminal.WriteLine("Bits given out: " + string.Join(", ", allocation.GroupBy(Settings).OrderBy(group => group.Average(layer => layer.BitsPerWeight)).Select(group => $"{group.Key} ({group.Count()} layers)")) + ".");
        if (!terminal.IsVerbose) return;
        Table table = Terminal.Table("layer", "settings", "bits per weight", "sensitivity", "expected divergence");
        foreach (AllocatedLayer layer in allocation)
        {
            table.AddRow(
                new Text(layer.Name), new Text(Settings(layer)), new Text(layer.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)),
                new Text(Quantities.Significant(layer.Sensitivity, 3)), new Text(Quantities.Significant(layer.ExpectedDivergence, 3)));
        }
        Terminal.Write(table);
    }

    // Progress<T> of the library would report on another thread.
    private sealed class Relay(ProgressLine progress) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => progress.Report(value.Fraction, value.Stage);
    }
}
