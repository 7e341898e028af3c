using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.Linq;
using System.Text.RegularExpressions;
using Lowbit.Cli.Shell;
using Lowbit.Formats;
using Spectre.Console;

namespace Lowbit.Cli.Verbs;

/// <summary>What is in a model, and how many bits.</summary>
internal sealed record InspectReport
{
    public required string Model { get; init; }
    public required string Kind { get; init; }
    public required string Architecture { get; init; }
    public required long Parameters { get; init; }

    /// <summary>Bytes of all tensors.</summary>
    public required long WeightBytes { get; init; }
    public required long FileBytes { get; init; }

    /// <summary>Bytes of all tensors times eight over the parameters.</summary>
    public required double BitsPerWeight { get; init; }

    /// <summary>The same by part, blocks taken together.</summary>
    public required PartReport[] Parts { get; init; }
    public required TensorReport[] Tensors { get; init; }
}

/// <summary>Tensors whose names differ only in the number of their block.</summary>
internal sealed record PartReport(string Name, int Tensors, string Format, long Parameters, long Bytes, double BitsPerWeight);

/// <summary>A tensor; a packed matrix counts as one, whatever it is made of.</summary>
internal sealed record TensorReport(string Name, long[] Shape, string Format, long Bytes);

/// <summary>Shows a model.</summary>
internal static partial class InspectVerb
{
    private static readonly Argument<string> s_model = Options.Model();

    [GeneratedRegex(@"(?<=\.)\d+(?=\.)")]
    private static partial Regex BlockNumber();

    public static Command Create() => new Verb(
        "inspect",
        "Show what is in a model: architecture, tensors, formats, exact bytes and bits per weight.",
        "lowbit inspect models/SmolLM2\nlowbit inspect out/small --verbose",
        Execute,
        [s_model]);

    private static void Execute(Invocation invocation)
    {
        string path = invocation.Get(s_model);
        using Checkpoint checkpoint = Checkpoint.Open(path);
        TensorReport[] tensors = [.. StoredMatrices.Of(checkpoint)];
        long parameters = tensors.Sum(Parameters), bytes = tensors.Sum(tensor => tensor.Bytes);
        var report = new InspectReport
        {
            Model = path,
            Kind = checkpoint.Kind switch { CheckpointKind.Gguf => "gguf", CheckpointKind.Llama2C => "llama2c", _ => "huggingface" },
            Architecture = StoredMatrices.Architecture(checkpoint),
            Parameters = parameters,
            WeightBytes = bytes,
            FileBytes = checkpoint.FileBytes,
            BitsPerWeight = Bits(bytes, parameters),
            Parts = [.. Parts(tensors)],
            Tensors = tensors,
        };
        invocation.Terminal.Result(report, JsonReports.Default.InspectReport, Picture);
    }

    private static IEnumerable<PartReport> Parts(TensorReport[] tensors) =>
        from tensor in tensors
        group tensor by (Name: BlockNumber().Replace(tensor.Name, "*"), tensor.Format) into part
        let parameters = part.Sum(Parameters)
        let bytes = part.Sum(tensor => tensor.Bytes)
        select new PartReport(part.Key.Name, part.Count(), part.Key.Format, parameters, bytes, Bits(bytes, parameters));

    private static long Parameters(TensorReport tensor) => tensor.Shape.Aggregate(1L, (product, dimension) => product * dimension);

    private static double Bits(long bytes, long parameters) => parameters == 0 ? 0 : bytes * 8.0 / parameters;

    private static void Picture(Terminal terminal, InspectReport report)
    {
        Terminal.Write(Terminal.Facts(
            ("model", $"{report.Model} ({report.Kind})"),
            ("architecture", report.Architecture),
            ("parameters", report.Parameters.ToString("N0", CultureInfo.InvariantCulture)),
            ("weights", $"{report.WeightBytes.ToString("N0", CultureInfo.InvariantCulture)} bytes, {report.BitsPerWeight.ToString("F3", CultureInfo.InvariantCulture)} bits per weight"),
            ("file", $"{report.FileBytes.ToString("N0", CultureInfo.InvariantCulture)} bytes")));
        Table table = Terminal.Table(terminal.IsVerbose ? "tensor" : "part", terminal.IsVerbose ? "shape" : "tensors", "format", "bytes", "bits per weight");
        if (terminal.IsVerbose)
        {
            foreach (TensorReport tensor in report.Tensors)
                AddRow(table, tensor.Name, $"[{string.Join(", ", tensor.Shape)}]", tensor.Format, tensor.Bytes, Bits(tensor.Bytes, Parameters(tensor)));
        }
        else
        {
            foreach (PartReport part in report.Parts)
                AddRow(table, part.Name, part.Tensors.ToString(CultureInfo.InvariantCulture), part.Format, part.Bytes, part.BitsPerWeight);
        }
        Terminal.Write(table);
    }

    private static void AddRow(Table table, string name, string what, string format, long bytes, double bits) => table.AddRow(
        new Text(name), new Text(what), new Text(format), new Text(bytes.ToString("N0", CultureInfo.InvariantCulture)), new Text(bits.ToString("F3", CultureInfo.InvariantCulture)));
}
