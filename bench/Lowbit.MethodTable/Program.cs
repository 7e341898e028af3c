using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json.Nodes;
using Lowbit.MethodTable;

// Quantizes a model by every method, measures each result and prints the table of docs/results-methods.md:
//
//   dotnet run -c Release --project bench/Lowbit.MethodTable -- MODEL --calibration FILE --text FILE --rows FILE.jsonl
//       [--samples N] [--context N] [--windows N] [--only TEXT]
//
// Every row is appended to FILE.jsonl when it is measured, and rows that are there are not measured again. A run of
// `lowbit` is a process of its own, so that time and peak memory are those that a user sees.
Dictionary<string, string> options = [];
for (int i = 1; i + 1 < args.Length; i += 2) options[args[i]] = args[i + 1];
if (args.Length == 0 || options.GetValueOrDefault("--calibration") is not { } calibration || options.GetValueOrDefault("--text") is not { } textFile ||
    options.GetValueOrDefault("--rows") is not { } rows)
{
    Console.Error.WriteLine("usage: MODEL --calibration FILE --text FILE --rows FILE.jsonl [--samples N] [--context N] [--windows N] [--only TEXT]");
    return 2;
}
string model = args[0];
string samples = options.TryGetValue("--samples", out string? count) ? $"--samples {count}" : "", context = options.GetValueOrDefault("--context", "512");
string windows = options.GetValueOrDefault("--windows", "0"), only = options.GetValueOrDefault("--only", "");
string evaluation = $"--text {textFile} --context {context} --windows {windows} --json";
List<JsonNode> done = File.Exists(rows) ? [.. File.ReadLines(rows).Select(line => JsonNode.Parse(line)!)] : [];

if (Find("float") is null)
{
    JsonNode measured = Lowbit($"eval {model} {evaluation}"), speed = Lowbit($"bench {model} --json");
    Keep(new JsonObject
    {
        ["name"] = "float",
        ["options"] = "",
        ["perplexity"] = Number(measured, "perplexity"),
        ["nll"] = Number(measured, "mean_nll"),
        ["tokens_per_second"] = Number(speed, "decode_tokens_per_second"),
    });
}
string output = Path.Combine(Path.GetTempPath(), $"lowbit-method-{Environment.ProcessId}");
foreach (Setting setting in Settings.All.Where(setting => setting.Name.Contains(only, StringComparison.OrdinalIgnoreCase)))
{
    if (Find(setting.Name) is not null) continue;
    try
    {
        JsonNode quantized = Lowbit($"quantize {model} -o {output} {setting.Options} --calibration {calibration} {samples} --context {context} --sampling sequential --force --json");
        JsonNode measured = Lowbit($"eval {output} {evaluation} --base {model}"), speed = Lowbit($"bench {output} --json");
        Keep(new JsonObject
        {
            ["name"] = setting.Name,
            ["options"] = setting.Options,
            ["nominal_bits"] = Number(quantized, "nominal_bits_per_weight"),
            ["bits"] = Number(quantized, "linear_bits_per_weight"),
            ["seconds"] = Number(quantized, "seconds"),
            ["peak_memory"] = Number(quantized, "peak_memory_bytes"),
            ["perplexity"] = Number(measured, "perplexity"),
            ["nll"] = Number(measured, "mean_nll"),
            ["divergence"] = Number(measured, "kl_divergence"),
            ["top1"] = Number(measured, "top1_agreement"),
            ["tokens_per_second"] = Number(speed, "decode_tokens_per_second"),
        });
    }
    catch (InvalidOperationException e)
    {
        Console.Error.WriteLine($"{setting.Name}: {e.Message}");
    }
    finally
    {
        if (Directory.Exists(output)) Directory.Delete(output, recursive: true);
    }
}
PrintTable();
return 0;

JsonNode? Find(string name) => done.FirstOrDefault(row => (string?)row["name"] == name);

void Keep(JsonObject row)
{
    done.Add(row);
    File.AppendAllText(rows, row.ToJsonString() + "\n");
    Console.Error.WriteLine($"{row["name"]}: perplexity {row["perplexity"]}");
}

void PrintTable()
{
    var table = new StringBuilder();
    table.AppendLine("| method | nominal bits | true bits | perplexity | mean NLL | KL divergence | same top token | quantize, s | peak, MB | decode, tokens/s |");
    table.AppendLine("|---|---|---|---|---|---|---|---|---|---|");
    foreach (string name in Settings.All.Select(setting => setting.Name).Prepend("float"))
    {
        if (Find(name) is not { } row) continue;
        table.AppendLine(string.Join(" | ",
            $"| {name}", Cell(row, "nominal_bits", "F2"), Cell(row, "bits", "F3"), Cell(row, "perplexity", "F2"), Cell(row, "nll", "F4"), Cell(row, "divergence", "F4"),
            Cell(row, "top1", "P1"), Cell(row, "seconds", "F1"), Cell(row, "peak_memory", "F0", 1e-6), Cell(row, "tokens_per_second", "F0")) + " |");
    }
    Console.Write(table);
}

static string Cell(JsonNode row, string key, string format, double unit = 1) =>
    row[key] is { } value ? ((double)value * unit).ToString(format, CultureInfo.InvariantCulture) : "";

static double Number(JsonNode report, string key) => (double?)report[key] ?? throw new InvalidOperationException($"the report has no {key}: {report.ToJsonString()}");

static JsonNode Lowbit(string arguments)
{
    string program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Lowbit.Cli", "release", "lowbit.dll"));
    using Process process = Process.Start(new ProcessStartInfo("dotnet", $"{program} {arguments}") { RedirectStandardOutput = true, RedirectStandardError = true })!;
    System.Threading.Tasks.Task<string> errors = process.StandardError.ReadToEndAsync();
    string text = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    if (process.ExitCode != 0) throw new InvalidOperationException($"lowbit {arguments} ended with {process.ExitCode}: {errors.Result.Trim()}");
    return JsonNode.Parse(text)!;
}
