using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Models;
using Lowbit.Models.Conversion;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>The speed of a model beside what the memory of this machine allows. Speeds are medians.</summary>
internal sealed record BenchReport
{
    public required string Model { get; init; }
    public required int PromptTokens { get; init; }
    public required int GenerateTokens { get; init; }
    public required int Repeat { get; init; }
    public required string Activations { get; init; }
    public required string Cache { get; init; }

    /// <summary>Bytes of the cache with all tokens of the prompt and the generated ones.</summary>
    public required long CacheBytes { get; init; }
    public required int Threads { get; init; }

    /// <summary>From opening the model to the logits after a first token: checks, and weights brought into the order that products like.</summary>
    public required double LoadSeconds { get; init; }
    public required double PrefillTokensPerSecond { get; init; }
    public required double DecodeTokensPerSecond { get; init; }

    /// <summary>Bytes of weights that every decoded token reads.</summary>
    public required long WeightBytesPerToken { get; init; }
    public required double MemoryBandwidthBytesPerSecond { get; init; }

    /// <summary>Decoded tokens a second times bytes a token, as a share of the bandwidth.</summary>
    public required double RooflineFraction { get; init; }

    /// <summary>What llama.cpp gave on the same file, in runs between ours; null without <c>--peer</c>.</summary>
    public double? PeerPrefillTokensPerSecond { get; init; }
    public double? PeerDecodeTokensPerSecond { get; init; }
    public double? PrefillRatio { get; init; }
    public double? DecodeRatio { get; init; }
}

/// <summary>The speed of the products of all formats.</summary>
internal sealed record KernelsReport(int Threads, string Activations, double MemoryBandwidthBytesPerSecond, KernelSpeed[] Kernels);

/// <summary>Prefill and decode speed beside the memory roof.</summary>
internal static class BenchVerb
{
    private static readonly Argument<string?> s_model = Options.OptionalModel();
    private static readonly Option<bool> s_kernels = Options.Flag("--kernels", "Measure all kernels of all formats instead, with random matrices of 2048 columns: one token and 128.");
    private static readonly Option<string?> s_peer = Options.Text("--peer", "Path of llama.cpp's llama-bench: runs it between our runs on the same GGUF file and gives the ratio of medians.", "PATH");
    private static readonly Option<int> s_promptTokens = Options.Integer("--prompt-tokens", "Tokens to read at once.", 128, minimum: 1);
    private static readonly Option<int> s_generateTokens = Options.Integer("--generate-tokens", "Tokens to generate one after the other.", 32, minimum: 1);
    private static readonly Option<int> s_repeat = Options.Integer("--repeat", "How often to measure; medians are reported.", 5, minimum: 1);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");
    private static readonly Option<string> s_cache = ComputeArguments.Cache();

    public static Command Create() => new Verb(
        "bench",
        "Measure how fast a model reads and generates, beside what the memory of this machine allows.",
        "lowbit bench out/small --prompt-tokens 128 --generate-tokens 32\nlowbit bench model.gguf --peer llama.cpp/build/bin/llama-bench\nlowbit bench --kernels",
        Execute,
        [s_model, s_promptTokens, s_generateTokens, s_repeat, s_activations, s_cache, s_kernels, s_peer]);

    private static void Execute(Invocation invocation)
    {
        string activations = invocation.Get(s_activations);
        if (invocation.Get(s_kernels))
        {
            Kernels(invocation, activations);
            return;
        }
        string path = invocation.Get(s_model) ?? throw new UsageException("bench needs a MODEL, or --kernels.");
        int promptTokens = invocation.Get(s_promptTokens), generateTokens = invocation.Get(s_generateTokens), repeat = invocation.Get(s_repeat);
        long opened = Stopwatch.GetTimestamp();
        using LanguageModel model = LanguageModel.Open(path);
        if ((long)promptTokens + generateTokens > model.Config.ContextLength)
            throw new UsageException($"--prompt-tokens and --generate-tokens are {promptTokens} and {generateTokens}, but the model reads at most {model.Config.ContextLength} in all.");
        if (invocation.Get(s_peer) is not null && model.Checkpoint.Gguf is null) throw new UsageException("--peer needs a GGUF file as MODEL, which both programs can read.");
        using var pool = new WorkerPool(invocation.Threads);
        PeerBench? peer = invocation.Get(s_peer) is { } program ? new PeerBench(program, path, pool.Threads, promptTokens, generateTokens) : null;
        using var session = new Session(model, pool, promptTokens + generateTokens, ComputeArguments.Mode(activations), cache: ComputeArguments.CacheFormat(invocation.Get(s_cache)));
        using var progress = new ProgressLine(invocation.Terminal, "bench", "runs", repeat + 1);
        // Any tokens do: the time of a product does not depend on its values. The same ones always.
        int[] prompt = new int[promptTokens];
        var random = new SplitMix64(0);
        for (int i = 0; i < promptTokens; i++) prompt[i] = (int)(random.Next() % (ulong)model.Config.VocabularySize);
        float[] logits = new float[model.Config.VocabularySize];
        session.Forward(prompt.AsSpan(0, 1), logits);
        double loadSeconds = Stopwatch.GetElapsedTime(opened).TotalSeconds;
        double[] prefill = new double[repeat], decode = new double[repeat], peerPrefill = new double[repeat], peerDecode = new double[repeat];
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
            if (run >= 0 && peer is not null) (peerPrefill[run], peerDecode[run]) = peer.Run();
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
            Cache = invocation.Get(s_cache),
            CacheBytes = session.CacheBytes,
            Threads = pool.Threads,
            LoadSeconds = loadSeconds,
            PrefillTokensPerSecond = Median(prefill),
            DecodeTokensPerSecond = Median(decode),
            WeightBytesPerToken = model.WeightBytesPerToken,
            MemoryBandwidthBytesPerSecond = bandwidth,
            RooflineFraction = Median(decode) * model.WeightBytesPerToken / bandwidth,
            PeerPrefillTokensPerSecond = peer is null ? null : Median(peerPrefill),
            PeerDecodeTokensPerSecond = peer is null ? null : Median(peerDecode),
            PrefillRatio = peer is null ? null : Median(prefill) / Median(peerPrefill),
            DecodeRatio = peer is null ? null : Median(decode) / Median(peerDecode),
        };
        invocation.Terminal.Result(report, JsonReports.Default.BenchReport, Picture);
    }

    private static void Kernels(Invocation invocation, string activations)
    {
        using var pool = new WorkerPool(invocation.Threads);
        double bandwidth = MemoryBandwidth.Measure(pool, cancellation: invocation.Cancellation);
        using var progress = new ProgressLine(invocation.Terminal, "bench", "formats", RandomMatrix.Formats.Count);
        List<KernelSpeed> kernels = [];
        int formats = 0;
        foreach (KernelSpeed kernel in KernelSpeed.MeasureAll(pool, bandwidth, invocation.Get(s_repeat), ComputeArguments.Mode(activations), invocation.Cancellation))
        {
            if (kernel.Chosen) progress.Report(formats++, kernel.Format);
            kernels.Add(kernel);
        }
        invocation.Terminal.Result(new KernelsReport(pool.Threads, activations, bandwidth, [.. kernels]), JsonReports.Default.KernelsReport, Picture);
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values];
        Array.Sort(sorted);
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    private static void Picture(Terminal _, BenchReport report)
    {
        Terminal.Write(Terminal.Facts(
        ("model", report.Model),
        ("first token after", $"{Quantities.Significant(report.LoadSeconds, 3)} s"),
        ("prefill", $"{Quantities.Significant(report.PrefillTokensPerSecond, 4)} tokens a second ({report.PromptTokens} at once)"),
        ("decode", $"{Quantities.Significant(report.DecodeTokensPerSecond, 4)} tokens a second ({report.GenerateTokens} one by one)"),
        ("weights read for a token", Quantities.Bytes(report.WeightBytesPerToken)),
        ("cache", $"{report.Cache}, {Quantities.Bytes(report.CacheBytes)} when full"),
        ("memory bandwidth", $"{Quantities.Bytes(report.MemoryBandwidthBytesPerSecond)} a second"),
        ("share of the memory roof", string.Create(CultureInfo.InvariantCulture, $"{100 * report.RooflineFraction:F0} %")),
        ("threads, activations, runs", $"{report.Threads}, {report.Activations}, {report.Repeat}")));
        if (report.PrefillRatio is not { } prefill || report.DecodeRatio is not { } decode) return;
        Terminal.Write(Terminal.Facts(
            ("peer, prefill", $"{Quantities.Significant(report.PeerPrefillTokensPerSecond!.Value, 4)} tokens a second, ratio {Quantities.Significant(prefill, 3)}"),
            ("peer, decode", $"{Quantities.Significant(report.PeerDecodeTokensPerSecond!.Value, 4)} tokens a second, ratio {Quantities.Significant(decode, 3)}")));
    }

    private static void Picture(Terminal _, KernelsReport report)
    {
        Terminal.Write(Terminal.Facts(
            ("memory bandwidth", $"{Quantities.Bytes(report.MemoryBandwidthBytesPerSecond)} a second"),
            ("threads, activations", $"{report.Threads}, {report.Activations}")));
        Table table = Terminal.Table("format", "vectors", "bits", "decode, weights a second", "bytes a second", "of the roof", "prefill, operations a second");
        foreach (KernelSpeed kernel in report.Kernels)
        {
            table.AddRow(
                kernel.Format, kernel.VectorBits == 0 ? "none" : $"{kernel.VectorBits} bits", Quantities.Significant(kernel.BitsPerWeight, 3), Quantities.Count(kernel.DecodeWeightsPerSecond), Quantities.Bytes(kernel.DecodeBytesPerSecond),
                string.Create(CultureInfo.InvariantCulture, $"{100 * kernel.RooflineFraction:F0} %"), Quantities.Count(kernel.PrefillOperationsPerSecond));
        }
        Terminal.Write(table);
    }
}
