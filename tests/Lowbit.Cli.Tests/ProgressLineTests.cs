using System;
using System.IO;
using Lowbit.Cli.Shell;
using Xunit;

namespace Lowbit.Cli.Tests;

public class ProgressLineTests
{
    private readonly Clock _clock = new();
    private readonly StringWriter _output = new() { NewLine = "\n" };

    [Fact]
    public void ShortWorkSaysNothing()
    {
        using var progress = new ProgressLine("eval", "windows", 10, _output, rewrites: true, _clock);
        _clock.Advance(1.9);
        progress.Report(5);
        Assert.Empty(_output.ToString());
    }

    [Fact]
    public void ATerminalSeesOneLineRewrittenAndTakenAway()
    {
        using (var progress = new ProgressLine("eval", "windows", 10, _output, rewrites: true, _clock))
        {
            _clock.Advance(4);
            progress.Report(2, "perplexity 12.345");
            _clock.Advance(0.01); // too soon for another frame
            progress.Report(3);
            _clock.Advance(0.99);
            progress.Report(5);
        }
        string first = "eval: 2 of 10 windows, 0.500 a second, 16 s left, perplexity 12.345", second = "eval: 5 of 10 windows, 1.00 a second, 5 s left";
        Assert.Equal($"\r{first}\r{second.PadRight(first.Length)}\r{new string(' ', second.Length)}\r", _output.ToString());
    }

    [Fact]
    public void APipeSeesLinesMoreAndMoreRarely()
    {
        using (var progress = new ProgressLine("eval", "windows", 3600, _output, rewrites: false, _clock))
        {
            for (int second = 1; second <= 3600; second++)
            {
                _clock.Advance(1);
                progress.Report(second);
            }
        }
        string[] lines = _output.ToString().TrimEnd().Split('\n');
        Assert.InRange(lines.Length, 30, 90);
        Assert.Equal("eval: 2 of 3600 windows, 1.00 a second, 59:58 left", lines[0]);
        Assert.DoesNotContain('\r', _output.ToString());
    }

    [Fact]
    public void WithoutAUnitItShowsTheShare()
    {
        using var progress = new ProgressLine("quantize", null, 1, _output, rewrites: false, _clock);
        _clock.Advance(10);
        progress.Report(0.25, "block 8 of 30");
        Assert.Equal("quantize: 25 %, 30 s left, block 8 of 30\n", _output.ToString());
    }

    private sealed class Clock : TimeProvider
    {
        private long _milliseconds;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => _milliseconds;

        public void Advance(double seconds) => _milliseconds += (long)(seconds * 1000);
    }
}
