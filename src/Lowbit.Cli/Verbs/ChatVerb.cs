using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Threading;
using System.Threading.Tasks;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <summary>Talks with a model through its chat template.</summary>
internal static class ChatVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_prompt = Options.Text("--prompt", "Say this, print the answer and leave; without it a conversation begins.");
    private static readonly Option<int[]?> s_promptIds = Options.Ids("--prompt-ids", "The same for a whole conversation as tokens, with all that the template adds.");
    private static readonly Option<string?> s_system = Options.Text("--system", "What the model is told before the conversation.");
    private static readonly Option<int> s_context = Options.Integer("--context", "Most tokens of the conversation; never more than the model reads.", 4096, minimum: 2);
    private static readonly GenerationArguments s_generation = new(temperature: 0.7, topP: 0.95);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");
    private static readonly Option<string> s_cache = ComputeArguments.Cache();

    public static Command Create() => new Verb(
        "chat",
        "Talk with a model; an empty line or Ctrl-D ends the conversation.",
        "lowbit chat models/SmolLM2\nlowbit chat models/SmolLM2 --prompt \"What is gravity?\" --temperature 0",
        Execute,
        [s_model, s_prompt, s_promptIds, s_system, s_context, .. s_generation.All, s_activations, s_cache]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model);
        string? prompt = invocation.Get(s_prompt);
        int[]? ids = invocation.Get(s_promptIds);
        if (prompt is { Length: 0 }) throw new UsageException("--prompt is empty; say something.");
        if (ids is not null && (prompt is not null || invocation.Has(s_system))) throw new UsageException("--prompt-ids is a whole conversation; leave --prompt and --system away.");
        if (invocation.Terminal.IsJson && prompt is null && ids is null) throw new UsageException("chat with --json needs --prompt TEXT or --prompt-ids 1,2,3.");
        using LanguageModel model = LanguageModel.Open(path);
        Tokenizer tokenizer = TokenizerLoader.Load(path);
        SamplingOptions sampling = s_generation.Sampling(invocation);
        int context = Math.Min(model.Config.ContextLength, invocation.Get(s_context));
        using var pool = new WorkerPool(invocation.Threads);
        using var chat = new Conversation(
            model, tokenizer, pool, ComputeArguments.Mode(invocation.Get(s_activations)), context,
            new Sampler(sampling, model.Config.VocabularySize), s_generation.Ends(invocation, model, tokenizer),
            ComputeArguments.CacheFormat(invocation.Get(s_cache)));
        if (invocation.Get(s_system) is { } system) chat.Add("system", system);
        if (prompt is not null) chat.Add("user", prompt);
        if (prompt is not null || ids is not null)
        {
            Print(ids is null ? chat.Answer(invocation.Cancellation) : chat.Answer([.. ids], invocation.Cancellation), invocation.Terminal);
            invocation.Terminal.Result(RunVerb.Report(chat.AnswerText, chat.AnswerIds, chat.Statistics, sampling.Seed), JsonReports.Default.RunReport, (_, _) => { });
            return;
        }
        while (Ask(invocation.Cancellation) is { Length: > 0 } line)
        {
            chat.Add("user", line);
            Print(chat.Answer(invocation.Cancellation), invocation.Terminal);
        }
    }

    private static void Print(IEnumerable<string> answer, Terminal terminal)
    {
        foreach (string piece in answer)
        {
            if (!terminal.IsJson) Console.Out.Write(piece);
        }
        if (!terminal.IsJson) Console.Out.WriteLine();
    }

    // Reading from a terminal cannot be cancelled, only waiting for it: the reading thread ends with the program.
    private static string? Ask(CancellationToken cancellation)
    {
        if (!Console.IsInputRedirected) Console.Error.Write("> ");
        return Task.Run(Console.In.ReadLine, cancellation).WaitAsync(cancellation).GetAwaiter().GetResult();
    }
}
