using System.Text.Json.Serialization;
using Lowbit.Cli.Verbs;
using Lowbit.Quantization.Pipeline;

namespace Lowbit.Cli.Shell;

/// <summary>What <c>--json</c> prints instead of a result when a verb fails.</summary>
/// <param name="Error">The sentence that also stands on standard error.</param>
internal sealed record FailureReport(string Error);

/// <summary>
/// How results become JSON: the fields of a report in snake case. Field names are an interface: others parse them.
/// </summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    WriteIndented = true,
    Converters = [typeof(FiniteNumberConverter)])]
[JsonSerializable(typeof(FailureReport))]
[JsonSerializable(typeof(BenchReport))]
[JsonSerializable(typeof(ConvertReport))]
[JsonSerializable(typeof(CorpusReport))]
[JsonSerializable(typeof(EvalReport))]
[JsonSerializable(typeof(InspectReport))]
[JsonSerializable(typeof(KernelsReport))]
[JsonSerializable(typeof(LayerResult))]
[JsonSerializable(typeof(QuantizePlan))]
[JsonSerializable(typeof(QuantizeReport))]
[JsonSerializable(typeof(QuickstartReport))]
[JsonSerializable(typeof(RunReport))]
[JsonSerializable(typeof(TokenizeReport))]
[JsonSerializable(typeof(TrainingReport))]
internal sealed partial class JsonReports : JsonSerializerContext;
