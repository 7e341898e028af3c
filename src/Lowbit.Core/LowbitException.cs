using System;

namespace Lowbit.Core;

/// <summary>
/// A failure that the user can act on. The message is one sentence that names the file, tensor or option, the value
/// found, what was expected and what to do; the command line prints it as it stands and exits with code 1.
/// </summary>
public class LowbitException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">One sentence for the user.</param>
    public LowbitException(string message) : base(message) { }

    /// <summary>Creates the exception with the failure that caused it.</summary>
    /// <param name="message">One sentence for the user.</param>
    /// <param name="inner">The cause, shown only with <c>--verbose</c>.</param>
    public LowbitException(string message, Exception inner) : base(message, inner) { }
}

/// <summary>A file whose content is not what its format promises: truncated, damaged, oversized or lying.</summary>
public sealed class LowbitFormatException : LowbitException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="file">Path of the file, as the user gave it.</param>
    /// <param name="problem">What was found, where, and what was expected.</param>
    public LowbitFormatException(string file, string problem) : base($"{file}: {problem}") => File = file;

    /// <summary>Creates the exception with the failure that caused it.</summary>
    /// <param name="file">Path of the file, as the user gave it.</param>
    /// <param name="problem">What was found, where, and what was expected.</param>
    /// <param name="inner">The cause, shown only with <c>--verbose</c>.</param>
    public LowbitFormatException(string file, string problem, Exception inner) : base($"{file}: {problem}", inner) => File = file;

    /// <summary>Path of the damaged file.</summary>
    public string File { get; }
}
