using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.Linq;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Quantization.Pipeline;
using Lowbit.Tokenizers;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>Quantizes a model and writes a folder that stands alone.</summary>
internal static class QuantizeVerb
{
    private const int LongestDefaultContext = 2048;

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_output = Options.Text("--output", "The folder to write.", "OUT");
    private static readonly Option<string[]> s_calibration = new("--calibration") { Description = "Text to calibrate with: UTF-8, or JSON lines with `text`, packed by gzip or not; may be given several times.", HelpName = "FILE", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<int> s_samples = Options.Integer("--samples", $"Windows of calibration text; 0 for {CalibrationSet.DefaultSamples}, or all there are with --sampling sequential.", 0, minimum: 0);
    private static readonly Option<int> s_context = Options.Integer("--context", "Tokens of a window; 0 for what the model reads, at most 2048.", 0, minimum: 0);
    private static readonly Option<string> s_sampling = Options.Choice("--sampling", "Windows at random places, or the first ones that do not overlap.", "random", "sequential");
    private static readonly Option<int> s_seed = Options.Integer("--seed", "Where the random windows lie.", 0, minimum: 0);
    private static readonly Option<string> s_embeddings = Options.Choice("--embeddings", "What embeddings and the output projection are stored as.", "keep", "f16", "q8_0");
    private static readonly Option<string> s_positions = Options.Choice("--positions", "How the positions of salient weights are stored: coded is smaller on disk.", "bitmap", "coded");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at OUT, and write the model even if it computes nonsense.");

    public static Command Create()
    {
        s_output.Aliases.Add("-o");
        return new Verb(
            "quantize",
            "Compress a model. The same command again after an interruption goes on where it stopped.",
            "lowbit quantize models/SmolLM2 -o out/small --calibration wiki.valid.raw --samples 16 --sampling sequential\nlowbit quantize models/SmolLM2 -o out/4bit --method gptq --bits 4 --group-size 64 --calibration wiki.valid.raw",
            Execute,
            [s_model, s_output, s_calibration, s_samples, s_context, s_sampling, s_seed, s_embeddings, s_positions, s_force, .. MethodArguments.All]);
    }

    private static void Execute(Invocation invocation)
    {
        var options = new QuantizeOptions
        {
            Method = invocation.Get(MethodArguments.Method),
            MethodOptions = MethodArguments.Read(invocation),
            Output = invocation.Get(s_output) ?? throw new UsageException("quantize needs -o OUT, the folder to write."),
            Embeddings = invocation.Get(s_embeddings) switch { "f16" => EmbeddingFormat.F16, "q8_0" => EmbeddingFormat.Q8_0, _ => EmbeddingFormat.Keep },
            Positions = invocation.Get(s_positions) == "coded" ? PositionsForm.Coded : PositionsForm.Bitmap,
            Force = invocation.Get(s_force),
        };
        string[] texts = invocation.Get(s_calibration) ?? [];
        if (options.MethodOptions.NeedsHessian && texts.Length == 0)
            throw new UsageException($"method {options.Method} needs --calibration FILE, text that the model shall stay good at.");
        string path = invocation.Get(s_model);
        using LanguageModel model = LanguageModel.Open(path);
        CalibrationSet? calibration = texts.Length == 0 ? null : Draw(invocation, model, TokenizerLoader.Load(path), texts);
        using var pool = new WorkerPool(invocation.Threads);
        QuantizeReport report = Quantize(invocation, options, model, calibration, pool);
        invocation.Terminal.Result(report, JsonReports.Default.QuantizeReport, Picture);
    }

    /// <summary>Runs the pipeline with progress on the terminal; its warnings go to standard error.</summary>
    internal static QuantizeReport Quantize(Invocation invocation, QuantizeOptions options, LanguageModel model, CalibrationSet? calibration, WorkerPool pool)
    {
        QuantizeReport report;
        using (var progress = new ProgressLine(invocation.Terminal, "quantize", unit: null, total: 1))
            report = QuantizePipeline.Run(options, model, calibration, pool, new Relay(progress), invocation.Cancellation);
        foreach (string warning in report.Warnings) Terminal.Warn(warning);
        return report;
    }

    private static CalibrationSet Draw(Invocation invocation, LanguageModel model, Tokenizer tokenizer, string[] texts)
    {
        int context = invocation.Get(s_context), longest = model.Config.ContextLength, samples = invocation.Get(s_samples);
        if (context > longest) throw new UsageException($"--context is {context}, but the model reads at most {longest} tokens.");
        if (context == 0) context = Math.Min(LongestDefaultContext, longest);
        var documents = new List<int[]>();
        foreach (string document in texts.SelectMany(CalibrationText.Documents))
        {
            invocation.Cancellation.ThrowIfCancellationRequested();
            documents.Add([.. PlainText.Encode(tokenizer, document)]);
        }
        CalibrationSampling sampling = invocation.Get(s_sampling) == "random" ? CalibrationSampling.Random : CalibrationSampling.Sequential;
        return CalibrationSet.Draw(documents, context, samples == 0 ? null : samples, sampling, invocation.Get(s_seed));
    }

    internal static void Picture(Terminal terminal, QuantizeReport report)
    {
        Terminal.Write(Terminal.Facts(
            ("method", report.Method),
            ("output", report.Output),
            ("weights", $"{report.WeightBytes.ToString("N0", CultureInfo.InvariantCulture)} bytes, {report.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} bits per weight in all"),
            ("quantized linears", $"{report.LinearBitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} bits per weight, {report.NominalBitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} by the paper's count"),
            ("time, peak memory", $"{Quantities.Significant(report.Seconds, 3)} s, {Quantities.Bytes(report.PeakMemoryBytes)}")));
        Table table = Terminal.Table("layer", "output error", "bits per weight");
        IEnumerable<LayerReport> shown = terminal.IsVerbose ? report.Layers : report.Layers.OrderByDescending(layer => layer.OutputError).Take(10);
        foreach (LayerReport layer in shown)
            table.AddRow(new Text(layer.Name), new Text(Quantities.Significant(layer.OutputError, 4)), new Text(layer.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)));
        Terminal.Write(table);
        if (!terminal.IsVerbose && report.Layers.Count > 10) Terminal.WriteLine($"The ten layers with the largest error of {report.Layers.Count}; --verbose shows all.");
    }

    // Progress<T> of the library would report on another thread.
    private sealed class Relay(ProgressLine progress) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => progress.Report(value.Fraction, value.Stage);
    }
}
