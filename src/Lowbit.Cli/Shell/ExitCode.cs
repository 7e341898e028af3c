namespace Lowbit.Cli.Shell;

/// <summary>What a script can rely on.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int BadUsage = 2;
    public const int Interrupted = 130;
}
