using System;
using System.CommandLine;
using System.IO;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels.Blocks;
using Lowbit.Models.Conversion;

namespace Lowbit.Cli.Verbs;

/// <summary>What was written.</summary>
internal sealed record ConvertReport(string Output, string? Type, long Bytes, double BitsPerWeight);

/// <summary>Writes a model as a GGUF file in another type, or one of random weights.</summary>
internal static class ConvertVerb
{
    private static readonly Argument<string?> s_model = Options.OptionalModel();
    private static readonly Option<string?> s_output = OutputPath.Option("The file or folder to write.", "OUT");
    private static readonly Option<string> s_to = Options.Choice("--to", "The format of the file.", "gguf");
    private static readonly Option<string?> s_type = Options.Text("--type", $"What matrices are stored as: {string.Join(", ", BlockEncoder.Formats)}; as they are if not given. With --random any ggml type or mixture such as Q4_K_M; pb-0.1, uniform-4, waterline-2.7, {string.Join(", ", RandomModel.FolderTypes)} make a folder.", "TYPE");
    private static readonly Option<string?> s_random = Options.Text("--random", $"Make a model of random weights instead, for measuring speed: {string.Join(", ", RandomShape.All.Keys)}.", "SHAPE");
    private static readonly Option<ulong?> s_seed = Options.Seed("Decides the random weights; 0 if not given.");
    private static readonly Option<bool> s_force = Options.Flag("--force", "Replace what is at OUT.");

    public static Command Create() => new Verb(
        "convert",
        "Write a model as a GGUF file in another type, or make one of random weights.",
        "lowbit convert model.Q4_1.gguf -o model.Q8_0.gguf --to gguf --type Q8_0\nlowbit convert --random llama-1b -o random.gguf --type Q4_0",
        Execute,
        [s_model, s_output, s_to, s_type, s_random, s_seed, s_force]);

    private static void Execute(Invocation invocation)
    {
        string output = invocation.Get(s_output) ?? throw new UsageException("convert needs -o OUT, the file to write.");
        string? type = invocation.Get(s_type), model = invocation.Get(s_model), shape = invocation.Get(s_random);
        if (model is null == shape is null) throw new UsageException("convert needs either a MODEL or --random SHAPE.");
        if (model is not null && Path.Exists(output) && Path.GetFullPath(output) == Path.GetFullPath(model)) throw new UsageException($"{output} is the MODEL itself; choose another file with -o.");
        OutputPath.RequireFree(output, invocation.Get(s_force));
        double bits;
        if (shape is not null)
        {
            if (type is null) throw new UsageException("--random needs --type TYPE, what matrices are stored as.");
            bits = RandomModel.Write(output, shape, type, invocation.Get(s_seed) ?? 0, invocation.Cancellation);
        }
        else
        {
            using Checkpoint source = Checkpoint.Open(model!);
            using var pool = new WorkerPool(invocation.Threads);
            using var progress = new ProgressLine(invocation.Terminal, "convert", unit: null, total: 1);
            bits = GgufConversion.Write(pool, source, output, Format(type), done => progress.Report(done), invocation.Cancellation);
        }
        long bytes = new FileInfo(File.Exists(output) ? output : Path.Combine(output, "model.safetensors")).Length;
        invocation.Terminal.Result(new ConvertReport(output, type, bytes, bits), JsonReports.Default.ConvertReport, Picture);
    }

    private static ElementFormat? Format(string? type)
    {
        if (type is null) return null;
        foreach (ElementFormat format in BlockEncoder.Formats)
        {
            if (format.ToString().Equals(type, StringComparison.OrdinalIgnoreCase)) return format;
        }
        throw new UsageException($"--type is '{type}', but a MODEL can be turned into {string.Join(", ", BlockEncoder.Formats)}.");
    }

    private static void Picture(Terminal _, ConvertReport report) => Terminal.Write(Terminal.Facts(
        ("written", report.Output),
        ("size", $"{Quantities.Bytes(report.Bytes)}, {Quantities.Significant(report.BitsPerWeight, 4)} bits per weight")));
}
