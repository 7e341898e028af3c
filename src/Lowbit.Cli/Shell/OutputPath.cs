using System.CommandLine;
using System.IO;
using Lowbit.Core;

namespace Lowbit.Cli.Shell;

/// <summary>Where a verb writes.</summary>
internal static class OutputPath
{
    /// <summary>The option <c>--output</c>, <c>-o</c> for short.</summary>
    public static Option<string?> Option(string description, string valueName)
    {
        Option<string?> option = Options.Text("--output", description, valueName);
        option.Aliases.Add("-o");
        return option;
    }

    /// <summary>Refuses to replace what is there.</summary>
    /// <exception cref="LowbitException">Something is there, and <paramref name="force"/> is not given.</exception>
    public static void RequireFree(string path, bool force)
    {
        if (Path.Exists(path) && !force) throw new LowbitException($"{path} is there already; choose another with -o or replace it with --force.");
    }
}
