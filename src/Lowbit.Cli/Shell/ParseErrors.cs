using System;
using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Linq;

namespace Lowbit.Cli.Shell;

/// <summary>One sentence for a command line that cannot be understood.</summary>
internal static class ParseErrors
{
    public static string Explain(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string help = command is RootCommand ? "`lowbit --help` lists the commands" : $"`lowbit {command.Name} --help` shows what there is";
        if (parsed.UnmatchedTokens.Count > 0)
        {
            string found = parsed.UnmatchedTokens[0];
            string what = found.StartsWith('-') ? "option" : command is RootCommand ? "command" : "argument";
            string? meant = Nearest(found, what == "option" ? OptionNames(command) : command.Subcommands.Select(c => c.Name));
            return meant is null ? $"there is no {what} '{found}'; {help}." : $"there is no {what} '{found}'; did you mean {meant}?";
        }
        ParseError error = parsed.Errors[0];
        return error.SymbolResult switch
        {
            // Messages of our own options are whole sentences already.
            OptionResult { Tokens.Count: 0 } option => $"{option.Option.Name} needs a value; {help}.",
            CommandResult { Command.Arguments.Count: > 0 } missing => $"{missing.Command.Name} needs {missing.Command.Arguments[0].Name}; {help}.",
            ArgumentResult { Argument.Name: { } name, Tokens.Count: 0, Parent: CommandResult } => $"{command.Name} needs {name}; {help}.",
            OptionResult { Tokens.Count: > 1 } option => $"{option.Option.Name} is given {option.Tokens.Count} times, but only once makes sense.",
            _ => error.Message,
        };
    }

    private static IEnumerable<string> OptionNames(Command command)
    {
        for (Command? current = command; current is not null; current = current.Parents.OfType<Command>().FirstOrDefault())
        {
            foreach (Option option in current.Options)
            {
                if (current == command || option.Recursive) yield return option.Name;
            }
        }
    }

    private static string? Nearest(string found, IEnumerable<string> names) =>
        names.Select(name => (name, distance: Distance(found, name)))
            .Where(pair => pair.distance <= Math.Max(1, pair.name.Length / 3))
            .OrderBy(pair => pair.distance)
            .Select(pair => pair.name)
            .FirstOrDefault();

    // Levenshtein's edit distance, one row of the table at a time.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
