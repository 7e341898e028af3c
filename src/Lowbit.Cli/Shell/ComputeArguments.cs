using System.CommandLine;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Cli.Shell;

/// <summary>What the products with packed weights take, and what the key-value cache holds.</summary>
internal static class ComputeArguments
{
    /// <param name="defaultFirst">The two words, the default first.</param>
    public static Option<string> Activations(params string[] defaultFirst) =>
        Options.Choice("--activations", "What packed weights are multiplied with: floats, or integers of 8 bits, which are faster.", defaultFirst);

    public static ActivationMode Mode(string word) => word == "float" ? ActivationMode.Float : ActivationMode.EightBit;

    public static Option<string> Cache() =>
        Options.Choice("--cache", "What keys and values of former tokens are kept as: floats, halves, or blocks of 8 or 4 bits.", "f32", "f16", "q8", "q4");

    public static ElementFormat CacheFormat(string word) => word switch
    {
        "f16" => ElementFormat.F16,
        "q8" => ElementFormat.Q8_0,
        "q4" => ElementFormat.Q4_0,
        _ => ElementFormat.F32,
    };
}
