using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json.Nodes;
using System.Threading.Tasks;
using Lowbit.MethodTable;

// Quantizes a model by every method, measures each result and keeps a row for it; prints the table of docs/methods-table.md.
// Every row is written when it is measured, and rows that are there are not measured again. A run of `lowbit` is a process
// of its own, so that its peak memory is what a user sees. Decode speed tells something on a quiet machine only, so a second
// pass, --speed-only, fills it in.
const string Usage = """
    usage: MODEL --rows FILE.jsonl --calibration FILE --text FILE [--samples N] [--context N] [--windows N]
               [--only NAME;NAME...] [--keep FOLDER] [--threads N] [--perplexity-only] [--speed-only --machine NAME]
           --print FILE.jsonl...
           --plot FILE.svg FILE.jsonl
    --only              names of settings or parts of them; rows are made in this order
    --keep              folder where quantized models stay, for a pass with --speed-only
    --perplexity-only   leaves out divergence and agreement, for which the float model has to compute too
    --speed-only        fills decode speed into rows that are there, and processor time where it is missing
    --machine           what the processor is called behind the speeds that are measured; others are measured anew
    --print             the table of rows that are there
    --plot              a picture of them
    """;
if (args is ["--print", .. string[] files])
{
    foreach (string file in files) RowTable.Print(new RowFile(file));
    return 0;
}
if (args is ["--plot", string picture, string plotted])
{
    RowPlot.Write(new RowFile(plotted), picture);
    return 0;
}
Dictionary<string, string> given = [];
bool isSpeed = false, isShort = false;
for (int i = 1; i < args.Length; i++)
{
    if (args[i] == "--speed-only") isSpeed = true;
    else if (args[i] == "--perplexity-only") isShort = true;
    else if (i + 1 < args.Length) given[args[i]] = args[++i];
}
if (args.Length == 0 || new[] { "--rows", "--calibration", "--text" }.Any(option => !given.ContainsKey(option)))
{
    Console.Error.WriteLine(Usage);
    return 2;
}
string model = args[0], threads = given.TryGetValue("--threads", out string? number) ? $"--threads {number}" : "", context = given.GetValueOrDefault("--context", "512");
string calibration = $"--calibration {given["--calibration"]} --sampling sequential";
string allWindows = $"{(given.TryGetValue("--samples", out string? count) ? $"--samples {count}" : "")} --context {context}";
const string OneWindow = "--samples 1 --context 256"; // speed is that of the layout, whatever the weights are
string evaluation = $"--text {given["--text"]} --context {context} --windows {given.GetValueOrDefault("--windows", "0")}";
string? machine = given.GetValueOrDefault("--machine");
string? keep = given.GetValueOrDefault("--keep");
RowFile rows = new(given["--rows"]);
string[] only = given.TryGetValue("--only", out string? parts) ? parts.Split(';') : [""];
IEnumerable<Setting> chosen = only.SelectMany(Named).Distinct();

foreach (Setting setting in chosen.Prepend(RowTable.Float))
{
    try
    {
        if (isSpeed) MeasureSpeed(setting);
        else if (rows.Find(setting.Name) is null) MeasureQuality(setting);
    }
    catch (InvalidOperationException e)
    {
        Console.Error.WriteLine($"{setting.Name}: {e.Message}");
    }
}
RowTable.Print(rows);
return 0;

IEnumerable<Setting> Named(string part)
{
    Setting[] whole = [.. Settings.All.Where(setting => setting.Name.Equals(part, StringComparison.OrdinalIgnoreCase))];
    return whole.Length > 0 ? whole : Settings.All.Where(setting => setting.Name.Contains(part, StringComparison.OrdinalIgnoreCase));
}

void MeasureQuality(Setting setting)
{
    JsonObject row = new() { ["name"] = setting.Name, ["options"] = setting.Options };
    string folder = model;
    if (setting != RowTable.Float)
    {
        (folder, JsonNode quantized) = Quantize(setting, allWindows);
        Copy(quantized, row, ("nominal_bits_per_weight", "nominal_bits"), ("linear_bits_per_weight", "bits"), ("processor_seconds", "processor_seconds"), ("peak_memory_bytes", "peak_memory"));
    }
    JsonNode measured = Lowbit($"eval {folder} {evaluation}{(setting == RowTable.Float || isShort ? "" : $" --base {model}")}");
    Copy(measured, row, ("perplexity", "perplexity"), ("mean_nll", "nll"));
    if (setting != RowTable.Float && !isShort) Copy(measured, row, ("kl_divergence", "divergence"), ("top1_agreement", "top1"));
    row["text"] = $"{Path.GetFileName(given["--text"])}, context {context}, {measured["windows"]} windows";
    rows.Set(row);
    Forget(setting, folder);
    Console.Error.WriteLine($"{DateTime.Now:HH:mm} {row["name"]}: {row["bits"]} bits, perplexity {row["perplexity"]}");
}

void MeasureSpeed(Setting setting)
{
    if (rows.Find(setting.Name) is not { } row || (row["tokens_per_second"] is not null && (string?)row["speed_machine"] == machine)) return;
    string folder = setting == RowTable.Float ? model : Folder(setting);
    if (row["processor_seconds"] is null && setting != RowTable.Float)
    {
        (_, JsonNode quantized) = Quantize(setting, allWindows);
        Copy(quantized, row, ("processor_seconds", "processor_seconds"));
    }
    else if (setting != RowTable.Float && !Directory.Exists(folder)) Quantize(setting, OneWindow);
    Copy(Lowbit($"bench {folder}"), row, ("decode_tokens_per_second", "tokens_per_second"));
    row["speed_machine"] = machine;
    rows.Set(row);
    Forget(setting, folder);
    Console.Error.WriteLine($"{row["name"]}: {row["tokens_per_second"]} tokens/s");
}

(string Folder, JsonNode Report) Quantize(Setting setting, string windows) =>
    (Folder(setting), Lowbit($"quantize {model} -o {Folder(setting)} {setting.Options} {(setting.Calibrated ? $"{calibration} {windows}" : "")} --force"));

string Folder(Setting setting) =>
    Path.Combine(keep ?? Path.Combine(Path.GetTempPath(), $"lowbit-method-{Environment.ProcessId}"), string.Concat(setting.Options.Where(c => c != '-')).Trim().Replace(' ', '-'));

void Forget(Setting setting, string folder)
{
    if (keep is null && setting != RowTable.Float) Directory.Delete(folder, recursive: true);
}

static void Copy(JsonNode report, JsonObject row, params (string From, string To)[] numbers)
{
    foreach ((string from, string to) in numbers)
        row[to] = report[from]?.DeepClone() ?? throw new InvalidOperationException($"the report has no {from}: {report.ToJsonString()}");
}

JsonNode Lowbit(string arguments)
{
    string program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Lowbit.Cli", "release", "lowbit.dll"));
    ProcessStartInfo start = new("dotnet", $"{program} {arguments} {threads} --json") { RedirectStandardOutput = true, RedirectStandardError = true };
    using Process process = Process.Start(start)!;
    Task<string> errors = process.StandardError.ReadToEndAsync();
    string text = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    if (process.ExitCode != 0) throw new InvalidOperationException($"lowbit {arguments} ended with {process.ExitCode}: {errors.Result.Trim().Split('\n')[^1]}");
    return JsonNode.Parse(text)!;
}
