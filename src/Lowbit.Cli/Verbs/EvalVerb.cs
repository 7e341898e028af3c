using System;
using System.CommandLine;
using System.Text.Json.Serialization;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Evaluation;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <summary>A measured perplexity with everything that defines it.</summary>
internal sealed record EvalReport
{
    public required string Model { get; init; }
    public required string Protocol { get; init; }
    public required string TextFile { get; init; }
    public required long TextBytes { get; init; }

    /// <summary>Tokens of the whole text.</summary>
    public required int Tokens { get; init; }
    public required int Context { get; init; }
    public required int Windows { get; init; }
    public required long ScoredTokens { get; init; }
    public required string Activations { get; init; }
    public required string Cache { get; init; }
    public required double Perplexity { get; init; }
    public required double PerplexityError { get; init; }

    /// <summary>Mean negative log-likelihood of the scored tokens, nats.</summary>
    public required double MeanNll { get; init; }
    public required double Seconds { get; init; }

    /// <summary>The model of <c>--base</c>; it and what follows are absent without one.</summary>
    public string? Base { get; init; }
    public double? BasePerplexity { get; init; }

    /// <summary>Mean KL(base‖model) over the scored tokens, nats.</summary>
    public double? KlDivergence { get; init; }

    /// <summary>The divergence that 99 % of the tokens stay below.</summary>
    [JsonPropertyName("kl_divergence_99")]
    public double? KlDivergence99 { get; init; }

    /// <summary>Share of tokens where both models hold the same token for the most probable.</summary>
    [JsonPropertyName("top1_agreement")]
    public double? Top1Agreement { get; init; }

    /// <summary>Root mean square of the change of the true token's probability.</summary>
    public double? ProbabilityChange { get; init; }
}

/// <summary>Perplexity, and divergence from a base model.</summary>
internal static class EvalVerb
{
    private const int LongestDefaultContext = 2048, LlamaCppContext = 512;

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_text = Options.Text("--text", "A UTF-8 file, scored as it stands, or JSON lines with `text`, an end token between two.", "FILE");
    private static readonly Option<string> s_protocol = Options.Choice("--protocol", "How the text is cut and what of it is scored; figures of different protocols cannot be compared.", "gptq", "llamacpp");
    private static readonly Option<int> s_context = Options.Integer("--context", "Tokens of a window; 0 for the protocol's own: 512 for llamacpp, otherwise what the model reads, at most 2048.", 0, minimum: 0);
    private static readonly Option<int> s_windows = Options.Integer("--windows", "Only this many windows from the start; 0 for all.", 0, minimum: 0);
    private static readonly Option<string?> s_base = Options.Text("--base", "Also measure the divergence from this model.", "MODEL");
    private static readonly Option<string> s_activations = ComputeArguments.Activations("float", "8bit");
    private static readonly Option<string> s_cache = ComputeArguments.Cache();

    public static Command Create() => new Verb(
        "eval",
        "Measure the perplexity of a model on a text, and how far it is from another.",
        "lowbit eval models/SmolLM2 --text wiki.test.raw --windows 10\nlowbit eval out/small --text wiki.test.raw --base models/SmolLM2 --json",
        Execute,
        [s_model, s_text, s_protocol, s_context, s_windows, s_base, s_activations, s_cache]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model);
        string textPath = invocation.Get(s_text) ?? throw new UsageException("eval needs --text FILE, the text to measure on.");
        string? plain = CalibrationText.IsLines(textPath) ? null : TextFile.Read(textPath);
        using LanguageModel model = LanguageModel.Open(path);
        ScoredText text = Cut(invocation, textPath, plain, TokenizerLoader.Load(path), model.Config);
        using var pool = new WorkerPool(invocation.Threads);
        invocation.Terminal.Detail($"{path}: {text.Tokens} tokens, {text.Windows.Length} windows of {text.Context}, {pool.Threads} threads");
        invocation.Terminal.Result(
            Measure(invocation, model, pool, text, textPath),
            JsonReports.Default.EvalReport,
            Picture);
    }

    private static ScoredText Cut(Invocation invocation, string path, string? plain, Tokenizer tokenizer, ModelConfig config)
    {
        PerplexityProtocol protocol = invocation.Get(s_protocol) == "gptq" ? PerplexityProtocol.Gptq : PerplexityProtocol.LlamaCpp;
        int context = invocation.Get(s_context), longest = config.ContextLength;
        if (context == 0) context = Math.Min(protocol == PerplexityProtocol.Gptq ? LongestDefaultContext : LlamaCppContext, longest);
        if (context > longest) throw new LowbitException($"--context is {context}, but the model reads at most {longest} tokens; choose a context within that.");
        if (plain is not null) return ScoredText.Create(plain, tokenizer, protocol, context, invocation.Get(s_windows));
        if (protocol != PerplexityProtocol.Gptq) throw new UsageException($"{path} has JSON lines, but the protocol llamacpp knows one plain text; use --protocol gptq.");
        return ScoredText.Cut(CalibrationText.Tokens(tokenizer, config, [path]), protocol, context, invocation.Get(s_windows), begin: null);
    }

    private static EvalReport Measure(Invocation invocation, LanguageModel model, WorkerPool pool, ScoredText text, string textPath)
    {
        string activations = invocation.Get(s_activations);
        Kernels.ActivationMode mode = ComputeArguments.Mode(activations);
        ElementFormat cache = ComputeArguments.CacheFormat(invocation.Get(s_cache));
        using var progress = new ProgressLine(invocation.Terminal, "eval", "windows", text.Windows.Length);
        PerplexityResult result;
        DivergenceResult? divergence = null;
        if (invocation.Get(s_base) is { } basePath)
        {
            using LanguageModel baseModel = LanguageModel.Open(basePath);
            divergence = Divergence.Measure(baseModel, model, pool, mode, mode, text, cache,
                (done, mean) => progress.Report(done, $"divergence {Quantities.Significant(mean, 4)}"), invocation.Cancellation);
            result = divergence.Model;
        }
        else
        {
            result = Perplexity.Measure(model, pool, mode, text, cache,
                (done, perplexity) => progress.Report(done, $"perplexity {Quantities.Significant(perplexity, 6)}"), invocation.Cancellation);
        }
        return new EvalReport
        {
            Model = invocation.Get(s_model),
            Protocol = invocation.Get(s_protocol),
            TextFile = textPath,
            TextBytes = TextFile.Length(textPath),
            Tokens = text.Tokens,
            Context = text.Context,
            Windows = text.Windows.Length,
            ScoredTokens = text.ScoredTokens,
            Activations = activations,
            Cache = invocation.Get(s_cache),
            Perplexity = result.Perplexity,
            PerplexityError = result.PerplexityError,
            MeanNll = result.MeanNegativeLogLikelihood,
            Seconds = result.Elapsed.TotalSeconds,
            Base = invocation.Get(s_base),
            BasePerplexity = divergence?.Base.Perplexity,
            KlDivergence = divergence?.MeanDivergence,
            KlDivergence99 = divergence?.Divergence99,
            Top1Agreement = divergence?.TopAgreement,
            ProbabilityChange = divergence?.ProbabilityChange,
        };
    }

    private static void Picture(Terminal _, EvalReport report)
    {
        Terminal.Write(Terminal.Facts(
            ("model", report.Model),
            ("text", $"{report.TextFile}, {report.TextBytes} bytes, {report.Tokens} tokens"),
            ("protocol", $"{report.Protocol}, context {report.Context}, {report.Windows} windows, {report.ScoredTokens} tokens scored"),
            ("activations, cache", $"{report.Activations}, {report.Cache}"),
            ("perplexity", $"{Quantities.Significant(report.Perplexity, 7)} ± {Quantities.Significant(report.PerplexityError, 3)}"),
            ("mean negative log-likelihood", Quantities.Significant(report.MeanNll, 7)),
            ("time", $"{Quantities.Significant(report.Seconds, 3)} s")));
        if (report.Base is null) return;
        Terminal.Write(Terminal.Facts(
            ("base", $"{report.Base}, perplexity {Quantities.Significant(report.BasePerplexity!.Value, 7)}"),
            ("mean KL divergence", Quantities.Significant(report.KlDivergence!.Value, 4)),
            ("99 % of tokens below", Quantities.Significant(report.KlDivergence99!.Value, 4)),
            ("same most probable token", $"{Quantities.Significant(100 * report.Top1Agreement!.Value, 3)} %"),
            ("change of true token's probability", $"{Quantities.Significant(100 * report.ProbabilityChange!.Value, 3)} % (root mean square)")));
    }
}
