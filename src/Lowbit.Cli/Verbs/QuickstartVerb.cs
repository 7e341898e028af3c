using System;
using System.CommandLine;
using System.IO;
using System.Text;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Inference;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <summary>What the first run shows: size and perplexity before and after, and a text by the small model.</summary>
internal sealed record QuickstartReport
{
    public required string Model { get; init; }
    public required string Output { get; init; }
    public required string Method { get; init; }
    public required double LinearBitsPerWeight { get; init; }
    public required long WeightBytesBefore { get; init; }
    public required long WeightBytes { get; init; }
    public required double PerplexityBefore { get; init; }
    public required double Perplexity { get; init; }
    public required string Text { get; init; }
    public required double Seconds { get; init; }
}

/// <summary>The main job in one command: compress with PB-LLM, measure before and after, run the packed result.</summary>
internal static class QuickstartVerb
{
    private const int Context = 512, CalibrationWindows = 32, EvaluationWindows = 16;

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_text = Options.Text("--text", "A UTF-8 text: its first half calibrates, the second half measures.", "FILE");
    private static readonly Option<string?> s_prompt = Options.Text("--prompt", "What the compressed model shall continue.");
    private static readonly Option<string?> s_output = Options.Text("--output", "The folder to write.", "OUT");

    public static Command Create()
    {
        s_output.Aliases.Add("-o");
        return new Verb(
            "quickstart",
            "Compress a model with PB-LLM, measure it before and after, and run the result.",
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
        using LanguageModel model = LanguageModel.Open(path);
        int context = Math.Min(Context, model.Config.ContextLength), half = Half(text);
        var options = new QuantizeOptions { Method = "pb-gptq", MethodOptions = MethodRegistry.Find("pb-gptq").Options(new System.Collections.Generic.Dictionary<string, string> { ["saliency"] = "hessian" }), Output = output, Force = true };
        CalibrationSet calibration = CalibrationSet.Draw([[.. PlainText.Encode(tokenizer, text[..half])]], context, CalibrationWindows, CalibrationSampling.Random, seed: 0);
        ScoredText scored = ScoredText.Create(text[half..], tokenizer, PerplexityProtocol.Gptq, context, EvaluationWindows);

        invocation.Terminal.Note($"1. measuring {path}");
        double before = Measure(invocation, model, pool, scored);
        long bytesBefore = model.Checkpoint.FileBytes;
        invocation.Terminal.Note($"2. compressing: {options.Method}, 10 % of the weights at 8 bits, the others at one");
        QuantizeReport quantized = QuantizeVerb.Quantize(invocation, options, model, calibration, pool);
        invocation.Terminal.Note($"3. measuring {output}");
        using LanguageModel small = LanguageModel.Open(output);
        double after = Measure(invocation, small, pool, scored);
        invocation.Terminal.Note("4. running it");
        invocation.Terminal.Result(
            new QuickstartReport
            {
                Model = path,
                Output = output,
                Method = options.Method,
                LinearBitsPerWeight = quantized.LinearBitsPerWeight,
                WeightBytesBefore = bytesBefore,
                WeightBytes = quantized.WeightBytes,
                PerplexityBefore = before,
                Perplexity = after,
                Text = Continue(invocation, small, tokenizer, pool),
                Seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds,
            },
            JsonReports.Default.QuickstartReport,
            Picture);
    }

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
        Terminal.Write(Terminal.Facts(
            ("linears", $"{Quantities.Significant(report.LinearBitsPerWeight, 3)} bits per weight"),
            ("weights", $"{Quantities.Bytes(report.WeightBytesBefore)} before, {Quantities.Bytes(report.WeightBytes)} after"),
            ("perplexity", $"{Quantities.Significant(report.PerplexityBefore, 4)} before, {Quantities.Significant(report.Perplexity, 4)} after"),
            ("time", $"{Quantities.Significant(report.Seconds, 3)} s"),
            ("written to", report.Output)));
        Terminal.WriteLine(report.Text);
    }
}
