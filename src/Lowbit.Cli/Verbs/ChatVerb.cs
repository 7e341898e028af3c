using System;
using System.CommandLine;
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
    private static readonly Option<string?> s_system = Options.Text("--system", "What the model is told before the conversation.");
    private static readonly Option<int> s_context = Options.Integer("--context", "Most tokens of the conversation; never more than the model reads.", 4096, minimum: 2);
    private static readonly GenerationArguments s_generation = new(temperature: 0.7, topP: 0.95);
    private static readonly Option<string> s_activations = ComputeArguments.Activations("8bit", "float");

    public static Command Create() => new Verb(
        "chat",
        "Talk with a model; an empty line or Ctrl-D ends the conversation.",
        "lowbit chat models/SmolLM2\nlowbit chat models/SmolLM2 --prompt \"What is gravity?\" --temperature 0",
        Execute,
        [s_model, s_prompt, s_system, s_context, .. s_generation.All, s_activations]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model);
        string? prompt = invocation.Get(s_prompt);
        if (prompt is { Length: 0 }) throw new UsageException("--prompt is empty; say something.");
        if (invocation.Terminal.IsJson && prompt is null) throw new UsageException("chat with --json needs --prompt TEXT.");
        using LanguageModel model = LanguageModel.Open(path);
        Tokenizer tokenizer = TokenizerLoader.Load(path);
        SamplingOptions sampling = s_generation.Sampling(invocation);
        int context = Math.Min(model.Config.ContextLength, invocation.Get(s_context));
        using var pool = new WorkerPool(invocation.Threads);
        using var chat = new Conversation(
            model, tokenizer, pool, ComputeArguments.Mode(invocation.Get(s_activations)), context,
            new Sampler(sampling, model.Config.VocabularySize), s_generation.Ends(invocation, model, tokenizer));
        if (invocation.Get(s_system) is { } system) chat.Add("system", system);
        while ((prompt ?? Ask()) is { Length: > 0 } line)
        {
            chat.Add("user", line);
            foreach (string piece in chat.Answer(invocation.Cancellation))
            {
                if (!invocation.Terminal.IsJson) Console.Out.Write(piece);
            }
            if (!invocation.Terminal.IsJson) Console.Out.WriteLine();
            if (prompt is null) continue;
            invocation.Terminal.Result(RunVerb.Report(chat.AnswerText, chat.AnswerIds, chat.Statistics, sampling.Seed), JsonReports.Default.RunReport, (_, _) => { });
            return;
        }
    }

    private static string? Ask()
    {
        if (!Console.IsInputRedirected) Console.Error.Write("> ");
        return Console.In.ReadLine();
    }
}
