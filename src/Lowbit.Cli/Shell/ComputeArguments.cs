using System.CommandLine;
using Lowbit.Kernels;

namespace Lowbit.Cli.Shell;

/// <summary>What the products with packed weights take.</summary>
internal static class ComputeArguments
{
    /// <param name="defaultFirst">The two words, the default first.</param>
    public static Option<string> Activations(params string[] defaultFirst) =>
        Options.Choice("--activations", "What packed weights are multiplied with: floats, or integers of 8 bits, which are faster.", defaultFirst);

    public static ActivationMode Mode(string word) => word == "float" ? ActivationMode.Float : ActivationMode.EightBit;
}
