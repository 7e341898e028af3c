using System;
using System.Collections.Concurrent;
using System.CommandLine;
using System.Linq;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Threading;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <summary>A corpus that a model wrote.</summary>
internal sealed record CorpusReport
{
    public required string Output { get; init; }
    public required int Texts { get; init; }

    /// <summary>Texts that ended by themselves, not at the token limit.</summary>
    public required int Finished { get; init; }

    /// <summary>Generated tokens of all texts.</summary>
    public required long Tokens { get; init; }
    public required double Seconds { get; init; }
    public required double TokensPerSecond { get; init; }
    public required ulong Seed { get; init; }
}

/// <summary>
/// Lets a model write many texts, as JSON lines: to train or to calibrate on where no other text is at hand, as LLM-QAT does.
/// </summary>
internal static class CorpusVerb
{
    // People read the file too: letters and quotation marks stand as they are wherever JSON allows it.
    private static readonly CorpusLines s_lines = new(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_output = OutputPath.Option("The file to write: a JSON object with `text` on every line.", "FILE");
    private static readonly Option<int> s_texts = Options.Integer("--texts", "Texts to write.", 100, minimum: 1);
    private static readonly Option<string[]> s_prompt = new("--prompt") { Description = "How texts begin; several are taken in turn. Without one they begin with the model's token for the beginning of a text.", HelpName = "TEXT", Arity = ArgumentArity.OneOrMore };
    private static readonly GenerationArguments s_generation = new(temperature: 1, topP: 1);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at FILE.");

    public static Command Create() => new Verb(
        "corpus",
        "Let a model write texts to train or to calibrate on.",
        "lowbit corpus models/TinyStories-656K --texts 1000 --temperature 0.8 --seed 1 -o stories.jsonl",
        Execute,
        [s_model, s_output, s_texts, s_prompt, .. s_generation.All, s_activations, s_force]);

    private static void Execute(Invocation invocation)
    {
        long start = TimeProvider.System.GetTimestamp();
        string output = invocation.Get(s_output) ?? throw new UsageException("corpus needs -o FILE, the file to write.");
        OutputPath.RequireFree(output, invocation.Get(s_force));
        string path = invocation.Get(s_model);
        using LanguageModel model = LanguageModel.Open(path);
        Tokenizer tokenizer = TokenizerLoader.Load(path);
        string[] prompts = invocation.Has(s_prompt) ? invocation.Get(s_prompt) : [""];
        int[][] begins = [.. prompts.Select(prompt => tokenizer.Encode(prompt, addSpecial: true).ToArray())];
        if (begins.Any(ids => ids.Length == 0)) throw new UsageException("this model has no token for the beginning of a text, so corpus needs --prompt TEXT.");
        SamplingOptions sampling = s_generation.Sampling(invocation);
        GenerationOptions ends = s_generation.Ends(invocation, model, tokenizer);
        int context = (int)Math.Clamp((long)begins.Max(ids => ids.Length) + ends.MaxTokens, 1, model.Config.ContextLength);

        var texts = new string[invocation.Get(s_texts)];
        using var pool = new WorkerPool(invocation.Threads);
        using var progress = new ProgressLine(invocation.Terminal, "corpus", "texts", texts.Length);
        using var writers = new Writers(model, context, ComputeArguments.Mode(invocation.Get(s_activations)));
        int done = 0, finished = 0;
        long tokens = 0;
        // A text depends on its own seed alone, so threads share out whole texts and the file is the same with any number of them.
        var work = new Work(i =>
        {
            int[] begin = begins[i % begins.Length], written = writers.Write(begin, sampling with { Seed = sampling.Seed + (ulong)i }, ends, invocation.Cancellation, out bool ended);
            texts[i] = tokenizer.Decode((int[])[.. begin, .. ended ? written[..^1] : written]);
            lock (texts)
            {
                (tokens, finished) = (tokens + written.Length, finished + (ended ? 1 : 0));
                progress.Report(++done);
            }
        });
        pool.Run(ref work, texts.Length, grain: 1);
        Save(output, texts);

        double seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds;
        invocation.Terminal.Result(
            new CorpusReport { Output = output, Texts = texts.Length, Finished = finished, Tokens = tokens, Seconds = seconds, TokensPerSecond = tokens / seconds, Seed = sampling.Seed },
            JsonReports.Default.CorpusReport,
            Picture);
    }

    private static void Save(string path, string[] texts)
    {
        using var file = new AtomicFile(path);
        foreach (string text in texts)
        {
            file.Write(JsonSerializer.SerializeToUtf8Bytes(new CorpusLine(text), s_lines.CorpusLine));
            file.Write("\n"u8);
        }
        file.Commit();
    }

    private static void Picture(Terminal _, CorpusReport report) => Terminal.Write(Terminal.Facts(
        ("written", report.Output),
        ("texts", $"{Quantities.Count(report.Texts)}, of which {Quantities.Count(report.Finished)} ended by themselves"),
        ("tokens", Quantities.Count(report.Tokens)),
        ("time", $"{Quantities.Significant(report.Seconds, 3)} s, {Quantities.Significant(report.TokensPerSecond, 3)} tokens a second"),
        ("seed", $"{report.Seed}")));

    private readonly struct Work(Action<int> write) : IParallelWork
    {
        public void Execute(int start, int end)
        {
            for (int i = start; i < end; i++) write(i);
        }
    }

    // A session for every thread that writes.
    private sealed class Writers(LanguageModel model, int context, ActivationMode mode) : IDisposable
    {
        private readonly WorkerPool _alone = new(1);
        private readonly ConcurrentBag<Session> _sessions = [];

        public int[] Write(int[] begin, SamplingOptions sampling, GenerationOptions ends, CancellationToken cancellation, out bool ended)
        {
            if (!_sessions.TryTake(out Session? session)) session = new Session(model, _alone, context, mode);
            try
            {
                session.Reset();
                var generator = new Generator(session, new Sampler(sampling, model.Config.VocabularySize));
                int[] written = [.. generator.Generate(begin, ends, cancellation)];
                ended = generator.Statistics.StopReason == StopReason.EndOfText;
                return written;
            }
            finally
            {
                _sessions.Add(session);
            }
        }

        public void Dispose()
        {
            foreach (Session session in _sessions) session.Dispose();
            _alone.Dispose();
        }
    }
}

/// <summary>A line of a corpus.</summary>
/// <param name="Text">One text.</param>
internal sealed record CorpusLine(string Text);

[JsonSerializable(typeof(CorpusLine))]
internal sealed partial class CorpusLines : JsonSerializerContext;
