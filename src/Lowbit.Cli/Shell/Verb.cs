using System;
using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Threading;

namespace Lowbit.Cli.Shell;

/// <summary>A command with an example in its help.</summary>
internal sealed class Verb : Command
{
    private readonly Action<Invocation> _execute;

    public Verb(string name, string description, string example, Action<Invocation> execute, IEnumerable<Symbol> symbols) : base(name, description)
    {
        Example = example;
        _execute = execute;
        foreach (Symbol symbol in symbols)
        {
            if (symbol is Argument argument) Add(argument);
            else Add((Option)symbol);
        }
        SetAction(_ => ExitCode.Done); // the real one needs a terminal and a token: see CommandLine.Run
    }

    /// <summary>One or more command lines that work.</summary>
    public string Example { get; }

    public void Execute(Invocation invocation) => _execute(invocation);
}

/// <summary>One execution of a verb: what the user asked for, where to answer, and whether he still wants it.</summary>
internal sealed record Invocation(ParseResult Arguments, Terminal Terminal, CancellationToken Cancellation)
{
    /// <summary>As asked for, but no more than there are cores: two threads that share a core wait for each other at the end of every product.</summary>
    public int Threads => Math.Min(Arguments.GetValue(SharedOptions.Threads), Environment.ProcessorCount);

    public T Get<T>(Option<T> option) => Arguments.GetValue(option)!;

    /// <summary>Null where the option is not given; the library would make it an empty list.</summary>
    public int[]? Get(Option<int[]?> option) => Has(option) ? Arguments.GetValue(option) : null;

    public T Get<T>(Argument<T> argument) => Arguments.GetValue(argument)!;

    /// <summary>Whether the option stands on the command line; false when it only has its default.</summary>
    public bool Has(Option option) => Arguments.GetResult(option) is OptionResult { Implicit: false };
}
