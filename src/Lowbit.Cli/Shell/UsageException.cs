using Lowbit.Core;

namespace Lowbit.Cli.Shell;

/// <summary>The command line itself is wrong: exit code 2.</summary>
internal sealed class UsageException(string message) : LowbitException(message);
