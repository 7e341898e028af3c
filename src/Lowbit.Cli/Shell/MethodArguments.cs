using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Quantization.Methods;

namespace Lowbit.Cli.Shell;

/// <summary>The method and its settings. What stands on the command line is handed on by name; what does not has the method's default.</summary>
internal static class MethodArguments
{
    public static Option<string> Method { get; } = Options.Choice("--method", "How to quantize.", Names());

    private static readonly Option[] s_settings =
    [
        Options.Real("--bits", "Bits of a weight: a whole number for uniform grids, any for waterline, which counts everything.", "B", 4, 0.5, 8),
        Options.Integer("--group-size", "Inputs that share a scale; -1 for the whole row, 0 for the whole matrix (rtn, fp6, fp8).", -1, -1),
        Options.Flag("--symmetric", "A grid around zero."),
        Options.Choice("--scale-search", "What range a uniform grid spans: all weights, or the part with the least squared error, or with the least error to the power 2.4.", "minmax", "mse", "lp"),
        Options.Flag("--activation-order", "Quantize the inputs with the largest activations first."),
        Options.Real("--damping", "Added to the diagonal of the Hessian, as a share of its mean.", "D", 0.01, 0, 1e6),
        Options.Integer("--block-size", "Columns between two updates of the columns behind.", 128, 1),
        Options.Real("--salient", "Share of weights kept in high precision.", "R", 0.1, 0, 1),
        Options.Choice("--saliency", "How salient weights are found.", "magnitude", "hessian"),
        Options.Integer("--salient-bits", "Bits of a salient weight.", 8, 2, 8),
        Options.Choice("--binary", "What becomes of the other weights.", "xnor", "sign", "2bit", "prune"),
        Options.Real("--exponent", "Of the activations in the scales of columns; awq searches it unless it is given.", "A", 0.5, 0, 1),
        Options.Real("--strength", "How much of the inputs' own error is corrected (gptaq).", "A", 0.25, 0, 1),
        Options.Flag("--no-clip", "Leave the largest weights of a group in its grid (awq)."),
        Options.Flag("--no-scales", "Clip only, scale no columns (omniquant)."),
        Options.Integer("--iterations", "Steps of a method that learns, rounds of one that refines.", 200, 0),
        Options.Real("--outliers", "Share kept in half precision: of columns (llm-int8, owq), of weights (squeezellm).", "R", 0.01, 0, 1),
        Options.Real("--outlier-threshold", "What is kept in half precision: columns with inputs of this size (llm-int8, 6), weights this sensitive (spqr, 0.2).", "T", 6, 0, double.MaxValue),
        Options.Choice("--repair", "Give back by a low-rank product what any method lost, by the error of the output, of the weight, or in between.", "eigen", "svd", "activation"),
        Options.Integer("--repair-rank", "Rank of that product.", 32, 1),
        Options.Flag("--double-quantization", "Quantize the scales of blocks too, for nf4 and fp4."),
        Options.Choice("--format", "Bits of exponent and fraction (fp6, fp8, mxfp6, mxfp8).", "e2m3", "e3m2", "e4m3", "e5m2"),
        Options.Choice("--type", "Blocks of ggml.", [.. BlockEncoder.Formats.Where(format => format.BlockLength() > 1).Select(format => format.ToString())]),
        Options.Flag("--natural-order", "Blocks of neighbouring columns instead of similar ones (pt2-llm)."),
        Options.Choice("--scale-rule", "Over which weights the scale of the binary part is taken.", "paper", "repository"),
    ];

    public static IEnumerable<Symbol> All => [Method, .. s_settings];

    /// <summary>What was given, by name without dashes.</summary>
    public static Dictionary<string, string> Values(Invocation invocation)
    {
        var values = new Dictionary<string, string>();
        foreach (Option option in s_settings)
        {
            if (invocation.Arguments.GetResult(option) is not OptionResult { Implicit: false } result) continue;
            values[option.Name[2..]] = result.Tokens.Count == 0 ? "" : result.Tokens[^1].Value;
        }
        return values;
    }

    /// <exception cref="UsageException">The method has no such setting.</exception>
    public static MethodOptions Read(Invocation invocation)
    {
        try
        {
            return MethodRegistry.Find(invocation.Get(Method)).Options(Values(invocation));
        }
        catch (LowbitException e)
        {
            throw new UsageException(e.Message);
        }
    }

    // PB-LLM first, which makes it the default.
    private static string[] Names() => [.. MethodRegistry.All.Select(method => method.Name).OrderBy(name => name != "pb-gptq")];
}
