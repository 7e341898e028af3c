using System;
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Models;

namespace Lowbit.Cli.Verbs;

/// <summary>The speed of a model beside what the memory of this machine allows. Speeds are medians.</summary>
internal sealed record BenchReport
{
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }
    public required int GenerateTokens { get; init; }
    public required int Repeat { get; init; }
    public required string Activations { get; init; }
    public required int Threads { get; init; }
    public required double PrefillTokensPerSecond { get; init; }
    public required double DecodeTokensPerSecond { get; init; }

    /// <summary>Bytes of weights that every decoded token reads.</summary>
    public required long WeightBytesPerToken { get; init; }
    public required double MemoryBandwidthBytesPerSecond { get; init; }

    /// <summary>Decoded tokens a second times bytes a token, as a share of the bandwidth.</summary>
    public required double RooflineFraction { get; init; }
}

/// <summary>Prefill and decode speed beside the memory roof.</summary>
internal static class BenchVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<int> s_promptTokens = Options.Integer("--prompt-tokens", "Tokens to read at once.", 128, minimum: 1);
    private static readonly Option<int> s_generateTokens = Options.Integer("--generate-tokens", "Tokens to generate one after the other.", 32, minimum: 1);
    private static readonly Option<int> s_repeat = Options.Integer("--repeat", "How often to measure; medians are reported.", 5, minimum: 1);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");

    public static Command Create() => new Verb(
        "bench",
        "Measure how fast a model reads and generates, beside what the memory of this machine allows.",
        "lowbit bench out/small --prompt-tokens 128 --generate-tokens 32",
        Execute,
        [s_model, s_promptTokens, s_generateTokens, s_repeat, s_activations]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model), activations = invocation.Get(s_activations);
        int promptTokens = invocation.Get(s_promptTokens), generateTokens = invocation.Get(s_generateTokens), repeat = invocation.Get(s_repeat);
        using LanguageModel model = LanguageModel.Open(path);
        if ((long)promptTokens + generateTokens > model.Config.ContextLength)
            throw new UsageException($"--prompt-tokens and --generate-tokens are {promptTokens} and {generateTokens}, but the model reads at most {model.Config.ContextLength} in all.");
        using var pool = new WorkerPool(invocation.Threads);
        using var session = new Session(model, pool, promptTokens + generateTokens, ComputeArguments.Mode(activations));
        using var progress = new ProgressLine(invocation.Terminal, "bench", "runs", repeat + 1);
        // Any tokens do: the time of a product does not depend on its values. The same ones always.
        int[] prompt = new int[promptTokens];
        var random = new SplitMix64(0);
        for (int i = 0; i < promptTokens; i++) prompt[i] = (int)(random.Next() % (ulong)model.Config.VocabularySize);
        float[] logits = new float[model.Config.VocabularySize];
        double[] prefill = new double[repeat], decode = new double[repeat];
        for (int run = -1; run < repeat; run++) // run −1 warms up: pages come in, the compiler settles
        {
            session.Reset();
            long start = Stopwatch.GetTimestamp();
            session.Forward(prompt, logits);
            double prefillSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            start = Stopwatch.GetTimestamp();
            for (int i = 0; i < generateTokens; i++)
            {
                invocation.Cancellation.ThrowIfCancellationRequested();
                session.Forward(prompt.AsSpan(i % promptTokens, 1), logits);
            }
            double decodeSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (run >= 0) (prefill[run], decode[run]) = (promptTokens / prefillSeconds, generateTokens / decodeSeconds);
            progress.Report(run + 2);
        }
        double bandwidth = MemoryBandwidth.Measure(pool, cancellation: invocation.Cancellation);
        var report = new BenchReport
        {
            Model = path,
            PromptTokens = promptTokens,
            GenerateTokens = generateTokens,
            Repeat = repeat,
            Activations = activations,
            Threads = pool.Threads,
            PrefillTokensPerSecond = Median(prefill),
            DecodeTokensPerSecond = Median(decode),
            WeightBytesPerToken = model.WeightBytesPerToken,
            MemoryBandwidthBytesPerSecond = bandwidth,
            RooflineFraction = Median(decode) * model.WeightBytesPerToken / bandwidth,
        };
        invocation.Terminal.Result(report, JsonReports.Default.BenchReport, Picture);
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values];
        Array.Sort(sorted);
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    private static void Picture(Terminal _, BenchReport report) => Terminal.Write(Terminal.Facts(
        ("model", report.Model),
        ("prefill", $"{Quantities.Significant(report.PrefillTokensPerSecond, 4)} tokens a second ({report.PromptTokens} at once)"),
        ("decode", $"{Quantities.Significant(report.DecodeTokensPerSecond, 4)} tokens a second ({report.GenerateTokens} one by one)"),
        ("weights read for a token", Quantities.Bytes(report.WeightBytesPerToken)),
        ("memory bandwidth", $"{Quantities.Bytes(report.MemoryBandwidthBytesPerSecond)} a second"),
        ("share of the memory roof", string.Create(CultureInfo.InvariantCulture, $"{100 * report.RooflineFraction:F0} %")),
        ("threads, activations, runs", $"{report.Threads}, {report.Activations}, {report.Repeat}")));
}
