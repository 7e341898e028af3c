using System.CommandLine;
using System.IO;
using Lowbit.Cli.Shell;
using Lowbit.Models.Conversion;

namespace Lowbit.Cli.Verbs;

/// <summary>What was written.</summary>
internal sealed record ConvertReport(string Output, string Type, long Bytes, double BitsPerWeight);

/// <summary>Writes a model in another file format, or one of random weights.</summary>
internal static class ConvertVerb
{
    private static readonly Option<string?> s_output = Options.Text("--output", "The file or folder to write.", "OUT");
    private static readonly Option<string?> s_type = Options.Text("--type", "What matrices are stored as: a ggml type such as Q4_0 or Q8_0, or one of its mixtures such as Q4_K_M; with --random also pb-0.1 or uniform-4, which make a folder.", "TYPE");
    private static readonly Option<string?> s_random = Options.Text("--random", $"Make a model of random weights instead, for measuring speed: {string.Join(", ", RandomShape.All.Keys)}.", "SHAPE");
    private static readonly Option<ulong?> s_seed = Options.Seed("Decides the random weights; 0 if not given.");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at OUT.");

    public static Command Create()
    {
        s_output.Aliases.Add("-o");
        return new Verb(
            "convert",
            "Make a GGUF file of random weights that any program can run.",
            "lowbit convert --random llama-1b -o random.gguf --type Q4_0",
            Execute,
            [s_output, s_type, s_random, s_seed, s_force]);
    }

    private static void Execute(Invocation invocation)
    {
        string output = invocation.Get(s_output) ?? throw new UsageException("convert needs -o OUT, the file to write.");
        string type = invocation.Get(s_type) ?? throw new UsageException("convert needs --type TYPE, what matrices are stored as.");
        string shape = invocation.Get(s_random) ?? throw new UsageException("convert needs --random SHAPE.");
        if (Path.Exists(output) && !invocation.Get(s_force)) throw new UsageException($"{output} is there already; choose another with -o or replace it with --force.");
        double bits = RandomModel.Write(output, shape, type, invocation.Get(s_seed) ?? 0, invocation.Cancellation);
        var report = new ConvertReport(output, type, new FileInfo(File.Exists(output) ? output : Path.Combine(output, "model.safetensors")).Length, bits);
        invocation.Terminal.Result(report, JsonReports.Default.ConvertReport, Picture);
    }

    private static void Picture(Terminal _, ConvertReport report) => Terminal.Write(Terminal.Facts(
        ("written", report.Output),
        ("size", $"{Quantities.Bytes(report.Bytes)}, {Quantities.Significant(report.BitsPerWeight, 4)} bits per weight")));
}
