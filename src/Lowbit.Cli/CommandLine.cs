using System;
using System.CommandLine;
using System.CommandLine.Help;
using System.IO;
using Lowbit.Cli.Shell;
using Lowbit.Cli.Verbs;
using Lowbit.Core;

namespace Lowbit.Cli;

/// <summary>All verbs, and what every verb shares: options, help, errors as one sentence, exit codes.</summary>
internal static class CommandLine
{
    /// <summary>Parses, runs, and turns every failure into a sentence and an exit code.</summary>
    public static int Run(string[] arguments)
    {
        if (OperatingSystem.IsWindows()) Console.OutputEncoding = new System.Text.UTF8Encoding(false);
        RootCommand root = Create(arguments);
        // No response files: a prompt may begin with @. No bundling: -o is the only short option.
        ParseResult parsed = root.Parse(arguments, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
        var terminal = new Terminal(parsed.GetValue(SharedOptions.Json), parsed.GetValue(SharedOptions.Quiet), parsed.GetValue(SharedOptions.Verbose));
        using var interruption = new Interruption();
        try
        {
            bool isHelp = parsed.Action is { ClearsParseErrors: true };
            if (parsed.Errors.Count > 0 && !isHelp) throw new UsageException(ParseErrors.Explain(parsed));
            if (parsed.CommandResult.Command is Verb verb && !isHelp)
            {
                verb.Execute(new Invocation(parsed, terminal, interruption.Token));
                return ExitCode.Done;
            }
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            terminal.Fail("interrupted.");
            return ExitCode.Interrupted;
        }
        catch (UsageException e)
        {
            terminal.Fail(e.Message);
            return ExitCode.BadUsage;
        }
        catch (Exception e) when (e is LowbitException or IOException or UnauthorizedAccessException)
        {
            terminal.Fail(e.Message, e);
            return ExitCode.Failed;
        }
#pragma warning disable CA1031 // the last line of defence: a defect of ours must not greet the user with a stack trace
        catch (Exception e)
#pragma warning restore CA1031
        {
            terminal.Fail($"a defect of lowbit itself ({e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}); the same command with --verbose shows where.", e);
            return ExitCode.Failed;
        }
    }

    private static readonly (string Name, Func<Command> Create)[] s_verbs =
    [
        ("quickstart", QuickstartVerb.Create),
        ("inspect", InspectVerb.Create),
        ("tokenize", TokenizeVerb.Create),
        ("quantize", QuantizeVerb.Create),
        ("layer", LayerVerb.Create),
        ("eval", EvalVerb.Create),
        ("train", TrainVerb.Create),
        ("finetune", FinetuneVerb.Create),
        ("corpus", CorpusVerb.Create),
        ("run", RunVerb.Create),
        ("chat", ChatVerb.Create),
        ("bench", BenchVerb.Create),
        ("convert", ConvertVerb.Create),
    ];

    /// <summary>The tree of commands.</summary>
    /// <param name="arguments">
    /// The command line: where its first word is a verb, the tree has that one alone, since the others load libraries that it does not need.
    /// </param>
    public static RootCommand Create(params string[] arguments)
    {
        var root = new RootCommand("Lowbit makes large language models small and keeps them good.")
        {
            SharedOptions.Json,
            SharedOptions.Threads,
            SharedOptions.Quiet,
            SharedOptions.Verbose,
        };
        string? first = Array.Find(arguments, argument => !argument.StartsWith('-'));
        bool isVerb = Array.Exists(s_verbs, verb => verb.Name == first);
        foreach ((string name, Func<Command> create) in s_verbs)
        {
            if (!isVerb || name == first) root.Add(create());
        }
        root.Directives.Clear();
        root.SetAction(_ => Console.Out.Write(Help.Overview));
        foreach (Option option in root.Options)
        {
            if (option is HelpOption help) help.Action = new Help((HelpAction)help.Action!);
        }
        return root;
    }
}
