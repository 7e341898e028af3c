using System.CommandLine;

namespace Lowbit.Cli.Shell;

/// <summary>Options that every verb takes.</summary>
internal static class SharedOptions
{
    public static Option<bool> Json { get; } = Recursive(Options.Flag("--json", "Print one JSON object on standard output and nothing else there."));

    public static Option<int> Threads { get; } = Recursive(Options.Integer("--threads", "Threads to compute with; 0 for one a core, which is also the most.", 0, minimum: 0, maximum: 1024));

    public static Option<bool> Quiet { get; } = Recursive(Options.Flag("--quiet", "No progress and no notes on standard error."));

    public static Option<bool> Verbose { get; } = Recursive(Options.Flag("--verbose", "Say more; show where a failure came from."));

    private static Option<T> Recursive<T>(Option<T> option)
    {
        option.Recursive = true;
        return option;
    }
}
