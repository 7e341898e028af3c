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
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Tokenizers;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>One model, measured.</summary>
/// <param name="Name">What was done, for people.</param>
/// <param name="Method">As <c>quantize</c> and <c>finetune</c> name it; null for the original.</param>
/// <param name="Salient">Share of weights that keep 8 bits, where the method has one.</param>
/// <param name="LinearBitsPerWeight">Bits of a weight of the linears, positions and scales included; null for the original.</param>
/// <param name="WeightBytes">Bytes of all tensors.</param>
/// <param name="Perplexity">On the text that nothing was fitted to.</param>
/// <param name="Output">Where the model lies.</param>
internal sealed record QuickstartRow(string Name, string? Method, double? Salient, double? LinearBitsPerWeight, long WeightBytes, double Perplexity, string Output);

/// <summary>A text by one of the models.</summary>
/// <param name="Name">That of its row.</param>
/// <param name="Method">That of its row.</param>
/// <param name="Salient">That of its row.</param>
/// <param name="Text">The prompt and how the model goes on, always with its most probable token.</param>
internal sealed record QuickstartSample(string Name, string? Method, double? Salient, string Text);

/// <summary>What the first run shows: how size and quality go together, and texts by the original and some of the small models.</summary>
internal sealed record QuickstartReport
{
    public required string Model { get; init; }
    public required IReadOnlyList<QuickstartRow> Rows { get; init; }
    public required IReadOnlyList<QuickstartSample> Samples { get; init; }

    /// <summary>What the last row has back of the log-perplexity that the row before it had lost; null where nothing was trained.</summary>
    public double? Recovered { get; init; }

    /// <summary>The command that trained the last row.</summary>
    public string? Training { get; init; }
    public required double Seconds { get; init; }
}

/// <summary>
/// The main job in one command: compress with PB-LLM at several shares of salient weights and with GPTQ, measure each, let
/// some write; on the model that comes with the program also train back what was lost.
/// </summary>
internal static class QuickstartVerb
{
    private const int Context = 512, CalibrationTokens = 32 * 512, EvaluationTokens = 16 * 512;
    private const string PartiallyBinarized = "pb-gptq";

    // The best model first; no salient weights are plain binarization.
    private static readonly (string Name, string? Method, double? Salient, bool Writes)[] s_plan =
    [
        ("original", null, null, true),
        ("4 bits (GPTQ)", "gptq", null, true),
        ("50 % of the weights at 8 bits, the others binary", PartiallyBinarized, 0.5, false),
        ("20 %", PartiallyBinarized, 0.2, false),
        ("10 %", PartiallyBinarized, 0.1, true),
        ("5 %", PartiallyBinarized, 0.05, false),
        ("all weights binary", PartiallyBinarized, 0, true),
    ];

    private static readonly Argument<string?> s_model = Options.OptionalModel();
    private static readonly Option<string?> s_text = Options.Text("--text", "A UTF-8 text for a MODEL of yours: its first half calibrates, the second half measures.", "FILE");
    private static readonly Option<string?> s_prompt = Options.Text("--prompt", "What the models shall continue.");
    private static readonly Option<string?> s_output = OutputPath.Option("The folder for the compressed models.", "OUT");

    public static Command Create() => new Verb(
        "quickstart",
        "Compress a model at several sizes, measure each, and let them write; without MODEL the one that comes with lowbit.",
        "lowbit quickstart\nlowbit quickstart models/TinyStories --text stories.txt --prompt \"Once upon a time\"",
        Execute,
        [s_model, s_text, s_prompt, s_output]);

    private static void Execute(Invocation invocation)
    {
        long start = TimeProvider.System.GetTimestamp();
        string? given = invocation.Get(s_model), text = invocation.Get(s_text);
        if (given is null && text is not null) throw new UsageException("quickstart --text needs a MODEL; the one that comes with lowbit has texts of its own.");
        string path = given ?? BoxModel.Folder, output = invocation.Get(s_output) ?? Path.Combine(".lowbit", "quickstart");
        Tokenizer tokenizer = TokenizerLoader.Load(path);
        using var pool = new WorkerPool(invocation.Threads);
        int context;
        int[] calibrating, measuring;
        using (LanguageModel model = LanguageModel.Open(path))
        {
            context = Math.Min(Context, model.Config.ContextLength);
            (calibrating, measuring) = given is null
                ? (CalibrationText.Tokens(tokenizer, model.Config, [BoxModel.Stories]), CalibrationText.Tokens(tokenizer, model.Config, [BoxModel.HeldOut]))
                : Halves(tokenizer, TextFile.Read(text ?? throw new UsageException("quickstart MODEL needs --text FILE, a text to calibrate and to measure with.")));
        }
        CalibrationSet calibration = CalibrationSet.Draw([calibrating], context, CalibrationTokens / context, CalibrationSampling.Random, seed: 0);
        ScoredText scored = ScoredText.Cut(measuring, PerplexityProtocol.Gptq, context, EvaluationTokens / context, begin: null);

        var rows = new List<QuickstartRow>();
        var samples = new List<QuickstartSample>();
        int count = s_plan.Length + (given is null ? 1 : 0);
        void Note(string what) => invocation.Terminal.Note($"{rows.Count + 1} of {count}: {what}");
        void Add(string name, string? method, double? salient, bool writes, double? bits, string place)
        {
            using LanguageModel model = LanguageModel.Open(place);
            rows.Add(new QuickstartRow(name, method, salient, bits, model.Checkpoint.Tensors.Values.Sum(tensor => tensor.Bytes), Measure(invocation, model, pool, scored), place));
            if (writes) samples.Add(new QuickstartSample(name, method, salient, Continue(invocation, model, tokenizer, pool)));
        }
        foreach ((string name, string? method, double? salient, bool writes) in s_plan)
        {
            Note(name);
            string place = method is null ? path : Path.Combine(output, salient is null ? "4-bits" : FormattableString.Invariant($"salient-{100 * salient}"));
            double? bits = method is null ? null : Compress(invocation, path, method, salient, place, calibration, pool).LinearBitsPerWeight;
            Add(name, method, salient, writes, bits, place);
        }

        double? recovered = null;
        string? training = null;
        if (given is null)
        {
            const string name = "all weights binary, trained";
            Note(name);
            string place = Path.Combine(output, "trained");
            string[] command =
            [
                "finetune", path, "--method", "pb-llm", "--salient", "0", "--train-all", "--positions", "coded", "--text", BoxModel.Stories,
                "--distill", "1", "--steps", "350", "--batch", "4", "--learning-rate", "3e-3", "-o", place,
            ];
            training = $"lowbit {string.Join(' ', command)}";
            ParseResult arguments = CommandLine.Create().Parse([.. command, "--force", "--threads", invocation.Threads.ToString(CultureInfo.InvariantCulture)]);
            TrainingReport trained = FinetuneVerb.Train(invocation with { Arguments = arguments });
            Add(name, trained.Method, 0, true, trained.LinearBitsPerWeight, place);
            recovered = 1 - Math.Log(rows[^1].Perplexity / rows[0].Perplexity) / Math.Log(rows[^2].Perplexity / rows[0].Perplexity);
        }
        invocation.Terminal.Result(
            new QuickstartReport { Model = given ?? BoxModel.Name, Rows = rows, Samples = samples, Recovered = recovered, Training = training, Seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds },
            JsonReports.Default.QuickstartReport,
            Picture);
    }

    // Parted at a line end near the middle, so that no word is cut.
    private static (int[] First, int[] Second) Halves(Tokenizer tokenizer, string text)
    {
        int line = text.IndexOf('\n', text.Length / 2), half = line < 0 ? text.Length / 2 : line + 1;
        return ([.. tokenizer.EncodePlain(text[..half])], [.. tokenizer.EncodePlain(text[half..])]);
    }

    private static QuantizeReport Compress(Invocation invocation, string path, string method, double? salient, string output, CalibrationSet calibration, WorkerPool pool)
    {
        Dictionary<string, string> settings = salient is { } share
            ? new() { ["saliency"] = "hessian", ["salient"] = share.ToString(CultureInfo.InvariantCulture) }
            : new() { ["bits"] = "4", ["group-size"] = "64" };
        QuantizeOptions options = new()
        {
            Method = method,
            MethodOptions = MethodRegistry.Find(method).Options(settings) with { ScalePrecision = ScalePrecision.Float16 },
            Output = output,
            Positions = PositionsForm.Coded,
            Force = true,
        };
        using LanguageModel model = LanguageModel.Open(path);
        return QuantizeVerb.Quantize(invocation, options, model, calibration, pool);
    }

    private static double Measure(Invocation invocation, LanguageModel model, WorkerPool pool, ScoredText text)
    {
        using var progress = new ProgressLine(invocation.Terminal, "eval", "windows", text.Windows.Length);
        return Perplexity.Measure(model, pool, ActivationMode.Float, text, progress: (done, _) => progress.Report(done), cancellation: invocation.Cancellation).Perplexity;
    }

    private static string Continue(Invocation invocation, LanguageModel model, Tokenizer tokenizer, WorkerPool pool)
    {
        const int length = 64;
        string prompt = invocation.Get(s_prompt) ?? "Once upon a time";
        int[] ids = [.. tokenizer.Encode(prompt, addSpecial: true)];
        int context = Math.Min(model.Config.ContextLength, ids.Length + length);
        using var session = new Session(model, pool, context, ActivationMode.EightBit);
        var generator = new Generator(session, new Sampler(new SamplingOptions(), model.Config.VocabularySize));
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
                new Text(row.Name), new Text(row.LinearBitsPerWeight is { } bits ? Quantities.Significant(bits, 3) : ""),
                new Text(Quantities.Bytes(row.WeightBytes)), new Text(Quantities.Significant(row.Perplexity, 4)));
        }
        Terminal.Write(table);
        Terminal.WriteLine("Bits per weight are those of the quantized linears, positions and scales included; embeddings stay as they are.");
        if (report.Recovered is { } share) Terminal.WriteLine($"Training brought back {Quantities.Significant(100 * share, 3)} % of the log-perplexity that binarization had lost.");
        foreach (QuickstartSample sample in report.Samples)
        {
            Terminal.WriteLine();
            Terminal.WriteLine($"{sample.Name}:");
            Terminal.WriteLine($"  {sample.Text.ReplaceLineEndings(" ")}");
        }
        Terminal.WriteLine();
        string folder = Path.GetDirectoryName(report.Rows[^1].Output)!;
        Terminal.WriteLine($"{Quantities.Significant(report.Seconds, 3)} s. The models lie in {folder}; try one: lowbit run {report.Rows[^1].Output} --prompt \"Once upon a time\" --temperature 0.7");
        if (report.Training is not { } training) return;
        Terminal.WriteLine($"Trained with: {training}");
        Terminal.WriteLine("Next, a model of yours (a Hugging Face folder or a GGUF file): lowbit quickstart MODEL --text FILE");
        Terminal.WriteLine("or one size of it: lowbit quantize MODEL -o OUT --calibration FILE --method gptq --bits 4 --group-size 64");
    }
}
