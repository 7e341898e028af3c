using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Methods;

namespace Lowbit.Cli.Shell;

/// <summary>The method and its settings. What stands on the command line is handed on by name; what does not has the method's default.</summary>
internal static class MethodArguments
{
    public static Option<string> Method { get; } = Options.Choice("--method", "How to quantize.", Names());

    private static readonly Option[] s_settings =
    [
        Options.Integer("--bits", "Bits of a weight, for uniform grids.", 4, 1, 8),
        Options.Integer("--group-size", "Inputs that share a scale; -1 for the whole row.", -1, -1),
        Options.Flag("--symmetric", "A grid around zero."),
        Options.Flag("--activation-order", "Quantize the inputs with the largest activations first."),
        Options.Real("--damping", "Added to the diagonal of the Hessian, as a share of its mean.", "D", 0.01, 0, 1e6),
        Options.Integer("--block-size", "Columns between two updates of the columns behind.", 128, 1),
        Options.Real("--salient", "Share of weights kept in high precision.", "R", 0.1, 0, 1),
        Options.Choice("--saliency", "How salient weights are found.", "magnitude", "hessian"),
        Options.Integer("--salient-bits", "Bits of a salient weight.", 8, 2, 8),
        Options.Choice("--binary", "What becomes of the other weights.", "xnor", "sign", "2bit", "prune"),
        Options.Flag("--double-quantization", "Quantize the scales of blocks too, for nf4 and fp4."),
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
