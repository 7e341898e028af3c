using System;
using System.Globalization;
using System.Linq;
using System.Text.Json.Nodes;

namespace Lowbit.MethodTable;

/// <summary>The rows as a table of a document; what was not measured is left empty.</summary>
internal static class RowTable
{
    /// <summary>The model as it is.</summary>
    public static readonly Setting Float = new("float", "");

    private static readonly (string Key, string Heading, string Format, double Unit)[] s_columns =
    [
        ("nominal_bits", "nominal bits", "F2", 1),
        ("bits", "true bits", "F3", 1),
        ("perplexity", "perplexity", "F2", 1),
        ("nll", "mean NLL", "F4", 1),
        ("divergence", "KL divergence", "F4", 1),
        ("top1", "same top token, %", "F1", 100),
        ("peak_memory", "peak memory, MB", "F0", 1e-6),
        ("processor_seconds", "quantize, processor s", "F1", 1),
        ("tokens_per_second", "decode, tokens/s", "F0", 1),
    ];

    /// <summary>Prints the rows in the order of the settings.</summary>
    public static void Print(RowFile rows)
    {
        JsonObject[] found = [.. Settings.All.Prepend(Float).Select(setting => rows.Find(setting.Name)).OfType<JsonObject>()];
        var columns = Array.FindAll(s_columns, column => Array.Exists(found, row => row[column.Key] is not null));
        Console.WriteLine($"## {rows.Name}\n");
        Console.WriteLine($"Perplexity, divergence and agreement: {string.Join("; ", found.Select(row => (string?)row["text"]).Distinct())}.\n");
        Console.WriteLine($"![True bits against divergence](pictures/methods-{rows.Name}.svg)\n");
        Console.WriteLine("| method | " + string.Join(" | ", columns.Select(column => column.Heading)) + " |");
        Console.WriteLine("|---|" + string.Concat(columns.Select(_ => "---|")));
        foreach (JsonObject row in found)
            Console.WriteLine($"| {row["name"]} | " + string.Join(" | ", columns.Select(column => Cell(row[column.Key], column.Format, column.Unit) + (column.Key == "tokens_per_second" ? Machine(row) : ""))) + " |");
        Console.WriteLine();
    }

    private static string Machine(JsonObject row) => row["speed_machine"] is { } machine ? $" ({machine})" : "";

    private static string Cell(JsonNode? value, string format, double unit) =>
        value is null ? "" : ((double)value * unit).ToString(format, CultureInfo.InvariantCulture);
}
