using System;
using System.Collections.Generic;
using System.CommandLine;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <summary>A generated text.</summary>
internal sealed record RunReport
{
    /// <summary>The generated tokens as text, without special tokens.</summary>
    public required string Text { get; init; }

    /// <summary>The generated tokens; the one that ended the text included.</summary>
    public required int[] TokenIds { get; init; }
    public required int PromptTokens { get; init; }

    /// <summary>Tokens generated in a second after the prompt.</summary>
    public required double TokensPerSecond { get; init; }
    public required double PromptTokensPerSecond { get; init; }

    /// <summary>end_of_text, max_tokens or context_full.</summary>
    public required string StopReason { get; init; }
    public required ulong Seed { get; init; }
}

/// <summary>Continues a prompt.</summary>
internal static class RunVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_prompt = Options.Text("--prompt", "The text to continue.");
    private static readonly Option<int[]?> s_promptIds = Options.Ids("--prompt-ids", "The tokens to continue, taken as they are.");
    private static readonly GenerationArguments s_generation = new(temperature: 0, topP: 1);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");
    private static readonly Option<string> s_cache = ComputeArguments.Cache();

    public static Command Create() => new Verb(
        "run",
        "Continue a text.",
        "lowbit run models/SmolLM2 --prompt \"The capital of France is\" --max-tokens 32\nlowbit run models/SmolLM2 --prompt \"Once upon a time\" --temperature 0.8 --seed 7",
        Execute,
        [s_model, s_prompt, s_promptIds, .. s_generation.All, s_activations, s_cache]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model);
        string? text = invocation.Get(s_prompt);
        int[]? ids = invocation.Get(s_promptIds);
        if ((text is null) == (ids is null)) throw new UsageException("run needs either --prompt or --prompt-ids.");
        using LanguageModel model = LanguageModel.Open(path);
        // Tokens can be continued without a tokenizer; only the text is missing then.
        Tokenizer? tokenizer = ids is null ? TokenizerLoader.Load(path) : TokenizerLoader.Find(path);
        int[] prompt = ids ?? [.. tokenizer!.Encode(text!, addSpecial: true, parseSpecial: true)];
        SamplingOptions sampling = s_generation.Sampling(invocation);
        GenerationOptions ends = s_generation.Ends(invocation, model, tokenizer);
        int context = (int)Math.Clamp((long)prompt.Length + ends.MaxTokens, 1, model.Config.ContextLength);
        // The tables that text is encoded with are not needed any more.
        IncrementalDecoder? decoder = tokenizer?.CreateDecoder(continues: true), whole = tokenizer?.CreateDecoder();
        ProgramMemory.ReleaseUnused();
        var generated = new List<int>();
        GenerationStatistics statistics;
        using (var pool = new WorkerPool(invocation.Threads))
        using (var session = new Session(model, pool, context, ComputeArguments.Mode(invocation.Get(s_activations)), cache: ComputeArguments.CacheFormat(invocation.Get(s_cache))))
        {
            var generator = new Generator(session, new Sampler(sampling, model.Config.VocabularySize));
            foreach (int token in generator.Generate(prompt, ends, invocation.Cancellation))
            {
                generated.Add(token);
                if (generated.Count == 1) ProgramMemory.ReleaseFiles(); // the code that has arranged the weights
                if (!invocation.Terminal.IsJson) Console.Out.Write(decoder is null ? $"{token} " : decoder.Next(token));
            }
            statistics = generator.Statistics;
        }
        RunReport report = Report(whole?.Last(generated.ToArray()) ?? "", generated, statistics, sampling.Seed);
        invocation.Terminal.Result(report, JsonReports.Default.RunReport, (_, _) => Console.Out.WriteLine(decoder?.Flush()));
        invocation.Terminal.Note(FormattableString.Invariant($"{report.PromptTokens} tokens read at {report.PromptTokensPerSecond:F1} a second, {generated.Count} generated at {report.TokensPerSecond:F1} a second"));
    }

    internal static RunReport Report(string text, IEnumerable<int> tokens, GenerationStatistics statistics, ulong seed) => new()
    {
        Text = text,
        TokenIds = [.. tokens],
        PromptTokens = statistics.PromptTokens,
        TokensPerSecond = statistics.DecodeTokensPerSecond,
        PromptTokensPerSecond = statistics.PrefillTokensPerSecond,
        StopReason = Name(statistics.StopReason),
        Seed = seed,
    };

    private static string Name(StopReason reason) => reason switch
    {
        StopReason.EndOfText => "end_of_text",
        StopReason.ContextFull => "context_full",
        _ => "max_tokens",
    };
}
