using System;
using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Lowbit.Cli.Shell;

/// <summary>
/// Where answers go. Results: standard output, as tables or, with <c>--json</c>, as one JSON object. Notes, warnings,
/// progress and failures: standard error. Colours and frames only on a terminal.
/// </summary>
internal sealed class Terminal(bool json, bool quiet, bool verbose)
{
    private const int PipeWidth = 400; // wide enough that no row of a table is broken in a pipe

    private static readonly Lazy<IAnsiConsole> s_console = new(() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) }));

    public bool IsJson { get; } = json;

    public bool IsQuiet { get; } = quiet;

    public bool IsVerbose { get; } = verbose;

    /// <summary>Whether a line of standard error can be rewritten.</summary>
    public static bool CanRewriteLine => !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Prints a result: the JSON object, or the picture for people.</summary>
    public void Result<T>(T value, JsonTypeInfo<T> type, Action<Terminal, T> picture)
    {
        if (IsJson) WriteJson(value, type);
        else picture(this, value);
    }

    /// <summary>Standard output, for people.</summary>
    public static void Write(IRenderable picture)
    {
        if (!Console.IsOutputRedirected)
        {
            s_console.Value.Write(picture);
            return;
        }
        // In a pipe: neither colours nor the blanks that fill up the last column.
        using var buffer = new StringWriter();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(buffer) });
        console.Profile.Width = PipeWidth;
        console.Write(picture);
        foreach (string line in buffer.ToString().TrimEnd().Split('\n')) Console.Out.WriteLine(line.TrimEnd());
    }

    /// <summary>A line of standard output, for people.</summary>
    public static void WriteLine(string line = "") => Console.Out.WriteLine(line);

    /// <summary>An empty table in the style of this terminal; the first column is text, the others are numbers unless said otherwise.</summary>
    public static Table Table(params string[] columns)
    {
        var table = new Table { Border = Console.IsOutputRedirected ? TableBorder.None : TableBorder.Simple };
        for (int i = 0; i < columns.Length; i++)
        {
            var column = new TableColumn(new Text(columns[i])) { NoWrap = true };
            table.AddColumn(i == 0 ? column : column.RightAligned());
        }
        return table;
    }

    /// <summary>Two columns without headings: what, and how much.</summary>
    public static Table Facts(params (string Name, string Value)[] facts)
    {
        Table table = Table("", "");
        table.ShowHeaders = false;
        table.Columns[1].Alignment = Justify.Left;
        foreach ((string name, string value) in facts) table.AddRow(new Text(name), new Text(value));
        return table;
    }

    /// <summary>A line on standard error that <c>--quiet</c> suppresses.</summary>
    public void Note(string sentence)
    {
        if (!IsQuiet) Console.Error.WriteLine(sentence);
    }

    /// <summary>A line on standard error that only <c>--verbose</c> asks for.</summary>
    public void Detail(string sentence)
    {
        if (IsVerbose) Console.Error.WriteLine(sentence);
    }

    /// <summary>Something that the user has to know even with <c>--quiet</c>.</summary>
    public static void Warn(string sentence) => Console.Error.WriteLine($"lowbit: warning: {sentence}");

    /// <summary>The sentence that ends a failed run; with <c>--json</c> also an object with the field <c>error</c>.</summary>
    public void Fail(string sentence, Exception? cause = null)
    {
        Console.Error.WriteLine($"lowbit: {sentence}");
        if (IsVerbose && cause is not null) Console.Error.WriteLine(cause);
        if (IsJson) WriteJson(new FailureReport(sentence), JsonReports.Default.FailureReport);
    }

    private static void WriteJson<T>(T value, JsonTypeInfo<T> type)
    {
        using Stream output = Console.OpenStandardOutput();
        JsonSerializer.Serialize(output, value, type);
        output.WriteByte((byte)'\n');
    }
}
