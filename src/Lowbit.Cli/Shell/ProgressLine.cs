using System;
using System.IO;

namespace Lowbit.Cli.Shell;

/// <summary>
/// How far a piece of work is, at what rate, and how long it will still take: on standard error, once the work has lasted
/// two seconds. One line rewritten on a terminal, now and then a line in a pipe, nothing with <c>--quiet</c>.
/// </summary>
internal sealed class ProgressLine : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_frame = TimeSpan.FromMilliseconds(100);

    private readonly string _work;
    private readonly string? _unit;
    private readonly double _total;
    private readonly TextWriter? _output;
    private readonly bool _rewrites;
    private readonly TimeProvider _clock;
    private readonly long _start;
    private TimeSpan _due = s_patience;
    private int _shown;

    /// <param name="terminal">Says whether to be quiet.</param>
    /// <param name="work">What is being done: "eval".</param>
    /// <param name="unit">What is counted: "windows"; null to show the share of the total instead.</param>
    /// <param name="total">How many there are.</param>
    public ProgressLine(Terminal terminal, string work, string? unit, double total)
        : this(work, unit, total, terminal.IsQuiet ? null : Console.Error, Terminal.CanRewriteLine, TimeProvider.System)
    {
    }

    internal ProgressLine(string work, string? unit, double total, TextWriter? output, bool rewrites, TimeProvider clock)
    {
        _work = work;
        _unit = unit;
        _total = total;
        _output = output;
        _rewrites = rewrites;
        _clock = clock;
        _start = clock.GetTimestamp();
    }

    /// <summary>Says that <paramref name="done"/> of the total are done.</summary>
    /// <param name="done">How many are done.</param>
    /// <param name="note">Something to show beside it, such as the running result.</param>
    public void Report(double done, string note = "")
    {
        if (_output is null) return;
        TimeSpan elapsed = _clock.GetElapsedTime(_start);
        if (elapsed < _due) return;
        // In a pipe the pauses grow with the work, so that a log of any length stays short.
        _due = elapsed + (_rewrites ? s_frame : TimeSpan.FromSeconds(Math.Clamp(elapsed.TotalSeconds / 2, 5, 60)));
        string line = Line(done, elapsed) + (note.Length > 0 ? $", {note}" : "");
        if (!_rewrites)
        {
            _output.WriteLine(line);
            return;
        }
        _output.Write('\r' + line.PadRight(_shown));
        _shown = line.Length;
    }

    /// <summary>Takes the line away.</summary>
    public void Dispose()
    {
        if (_shown > 0) _output!.Write('\r' + new string(' ', _shown) + '\r');
        _shown = 0;
    }

    private string Line(double done, TimeSpan elapsed)
    {
        string line = _unit is null
            ? $"{_work}: {Quantities.Significant(100 * done / _total, 2)} %"
            : $"{_work}: {Quantities.Count(done)} of {Quantities.Count(_total)} {_unit}";
        if (done <= 0) return line;
        double rate = done / elapsed.TotalSeconds;
        if (_unit is not null) line += $", {Quantities.Significant(rate, 3)} a second";
        return $"{line}, {Quantities.Duration(TimeSpan.FromSeconds((_total - done) / rate))} left";
    }
}
