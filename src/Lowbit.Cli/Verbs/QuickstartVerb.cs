using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Inference;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Tokenizers;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>One way to compress, measured.</summary>
/// <param name="Salient">Share of weights that keep 8 bits; null for the original.</param>
/// <param name="LinearBitsPerWeight">Bits of a weight of the linears, positions and scales included; null for the original.</param>
/// <param name="WeightBytes">Bytes of all tensors.</param>
/// <param name="Perplexity">On the second half of the text.</param>
/// <param name="Output">Where the model lies.</param>
internal sealed record QuickstartRow(double? Salient, double? LinearBitsPerWeight, long WeightBytes, double Perplexity, string Output);

/// <summary>A text by one of the models.</summary>
/// <param name="Salient">Share of weights that keep 8 bits; null for the original.</param>
/// <param name="Text">The prompt and how the model goes on.</param>
internal sealed record QuickstartSample(double? Salient, string Text);

/// <summary>What the first run shows: how size and quality go together, and texts by the original and two of the small models.</summary>
internal sealed record QuickstartReport
{
    public required string Model { get; init; }
    public required string Method { get; init; }
    public required IReadOnlyList<QuickstartRow> Rows { get; init; }
    public required IReadOnlyList<QuickstartSample> Samples { get; init; }
    public required double Seconds { get; init; }
}

/// <summary>The main job in one command: compress with PB-LLM at several shares of salient weights, measure each, let some write.</summary>
internal static class QuickstartVerb
{
    private const int Context = 512, CalibrationWindows = 32, EvaluationWindows = 16;
    private const string Method = "pb-gptq";

    // The original, then shares of salient weights, the best model first; none is plain binarization.
    private static readonly double?[] s_shares = [null, 0.5, 0.2, 0.1, 0.05, 0];
    private static readonly double?[] s_writing = [null, 0.5, 0.1];

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_text = Options.Text("--text", "A UTF-8 text: its first half calibrates, the second half measures.", "FILE");
    private static readonly Option<string?> s_prompt = Options.Text("--prompt", "What the compressed model shall continue.");
    private static readonly Option<string?> s_output = Options.Text("--output", "The folder for the compressed models.", "OUT");

    public static Command Create()
    {
        s_output.Aliases.Add("-o");
        return new Verb(
            "quickstart",
            "Compress a model with PB-LLM at several sizes, measure each, and let them write.",
            "lowbit quickstart models/TinyStories --text stories.txt --prompt \"Once upon a time\"",
            Execute,
            [s_model, s_text, s_prompt, s_output]);
    }

    private static void Execute(Invocation invocation)
    {
        long start = TimeProvider.System.GetTimestamp();
        string path = invocation.Get(s_model), output = invocation.Get(s_output) ?? Path.Combine(".lowbit", "quickstart");
        string text = TextFile.Read(invocation.Get(s_text) ?? throw new UsageException("quickstart needs --text FILE, a text to calibrate and to measure with."));
        Tokenizer tokenizer = TokenizerLoader.Load(path);
        using var pool = new WorkerPool(invocation.Threads);
        var rows = new List<QuickstartRow>();
        var samples = new List<QuickstartSample>();
        int half = Half(text);
        CalibrationSet? calibration = null;
        ScoredText? scored = null;
        foreach (double? share in s_shares)
        {
            using LanguageModel original = LanguageModel.Open(path);
            int context = Math.Min(Context, original.Config.ContextLength);
            calibration ??= CalibrationSet.Draw([[.. tokenizer.EncodePlain(text[..half])]], context, CalibrationWindows, CalibrationSampling.Random, seed: 0);
            scored ??= ScoredText.Create(text[half..], tokenizer, PerplexityProtocol.Gptq, context, EvaluationWindows);
            string place = share is null ? path : Path.Combine(output, FormattableString.Invariant($"salient-{100 * share}"));
            invocation.Terminal.Note($"{rows.Count + 1} of {s_shares.Length}: {Name(share)}");
            double? bits = share is { } salient ? Compress(invocation, original, salient, place, calibration, pool).LinearBitsPerWeight : null;
            using LanguageModel model = LanguageModel.Open(place);
            rows.Add(new QuickstartRow(share, bits, model.Checkpoint.Tensors.Values.Sum(tensor => tensor.Bytes), Measure(invocation, model, pool, scored), place));
            if (s_writing.Contains(share)) samples.Add(new QuickstartSample(share, Continue(invocation, model, tokenizer, pool)));
        }
        invocation.Terminal.Result(
            new QuickstartReport { Model = path, Method = Method, Rows = rows, Samples = samples, Seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds },
            JsonReports.Default.QuickstartReport,
            Picture);
    }

    private static QuantizeReport Compress(Invocation invocation, LanguageModel model, double salient, string output, CalibrationSet calibration, WorkerPool pool)
    {
        Dictionary<string, string> settings = new() { ["saliency"] = "hessian", ["salient"] = salient.ToString(CultureInfo.InvariantCulture) };
        QuantizeOptions options = new()
        {
            Method = Method,
            MethodOptions = MethodRegistry.Find(Method).Options(settings) with { ScalePrecision = ScalePrecision.Float16 },
            Output = output,
            Force = true,
        };
        return QuantizeVerb.Quantize(invocation, options, model, calibration, pool);
    }

    private static string Name(double? share) => share switch
    {
        null => "original",
        0 => "all weights binary",
        _ => FormattableString.Invariant($"{100 * share} % of the weights at 8 bits, the others binary"),
    };

    // A line end near the middle, so that no word is cut.
    private static int Half(string text)
    {
        int line = text.IndexOf('\n', text.Length / 2);
        return line < 0 ? text.Length / 2 : line + 1;
    }

    private static double Measure(Invocation invocation, LanguageModel model, WorkerPool pool, ScoredText text)
    {
        using var progress = new ProgressLine(invocation.Terminal, "eval", "windows", text.Windows.Length);
        return Perplexity.Measure(model, pool, ActivationMode.Float, text, (done, _) => progress.Report(done), invocation.Cancellation).Perplexity;
    }

    private static string Continue(Invocation invocation, LanguageModel model, Tokenizer tokenizer, WorkerPool pool)
    {
        const int length = 48;
        string prompt = invocation.Get(s_prompt) ?? "Once upon a time";
        int[] ids = [.. tokenizer.Encode(prompt, addSpecial: true)];
        int context = Math.Min(model.Config.ContextLength, ids.Length + length);
        using var session = new Session(model, pool, context, ActivationMode.EightBit);
        var generator = new Generator(session, new Sampler(new SamplingOptions(), model.Config.VocabularySize), model.Config.VocabularySize, context);
        var text = new StringBuilder(prompt);
        IncrementalDecoder decoder = tokenizer.CreateDecoder(continues: true);
        foreach (int token in generator.Generate(ids, new GenerationOptions { MaxTokens = length, StopIds = EndTokens.Of(model, tokenizer) }, invocation.Cancellation))
            text.Append(decoder.Next(token));
        return text.Append(decoder.Flush()).ToString();
    }

    private static void Picture(Terminal _, QuickstartReport report)
    {
        Table table = Terminal.Table("model", "bits per weight", "file", "perplexity");
        foreach (QuickstartRow row in report.Rows)
        {
            table.AddRow(
                new Text(Name(row.Salient)), new Text(row.LinearBitsPerWeight is { } bits ? Quantities.Significant(bits, 3) : ""),
                new Text(Quantities.Bytes(row.WeightBytes)), new Text(Quantities.Significant(row.Perplexity, 4)));
        }
        Terminal.Write(table);
        Terminal.WriteLine("Bits per weight are those of the quantized linears, positions and scales included; embeddings stay as they are.");
        foreach (QuickstartSample sample in report.Samples)
        {
            Terminal.WriteLine();
            Terminal.WriteLine($"{Name(sample.Salient)}:");
            Terminal.WriteLine($"  {sample.Text.ReplaceLineEndings(" ")}");
        }
        Terminal.WriteLine();
        Terminal.WriteLine($"{Quantities.Significant(report.Seconds, 3)} s. The models lie in {Path.GetDirectoryName(report.Rows[^1].Output)}; try one: lowbit run {report.Rows[1].Output} --prompt \"Once upon a time\"");
    }
}
