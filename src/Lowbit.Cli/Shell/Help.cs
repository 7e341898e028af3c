using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.IO;
using System.Linq;
using Lowbit.Quantization.Methods;

namespace Lowbit.Cli.Shell;

/// <summary>The generated help, and below it the methods where there are some to choose from, and an example.</summary>
internal sealed class Help(HelpAction generated) : SynchronousCommandLineAction
{
    /// <summary>What <c>lowbit</c> alone prints.</summary>
    public const string Overview = """
        Lowbit makes large language models small and keeps them good.

          lowbit quickstart                  compress the model that comes with lowbit, measure, run it
          lowbit quantize MODEL -o OUT       compress a model
          lowbit eval MODEL --text FILE      measure its perplexity
          lowbit run MODEL --prompt TEXT     generate text
          lowbit inspect MODEL               what is in a model, and how many bits

        MODEL is a Hugging Face folder, a GGUF file or a folder that Lowbit wrote.
        `lowbit --help` lists all commands, `lowbit COMMAND --help` explains one.

        """;

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        generated.Invoke(parseResult);
        if (parseResult.CommandResult.Command is Verb verb)
        {
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (verb.Options.Contains(MethodArguments.Method)) WriteMethods(output);
            output.WriteLine("Example:");
            foreach (string line in verb.Example.Split('\n')) output.WriteLine($"  {line}");
        }
        return ExitCode.Done;
    }

    private static void WriteMethods(TextWriter output)
    {
        int width = MethodRegistry.All.Max(method => method.Name.Length);
        output.WriteLine("Methods:");
        foreach (QuantizationMethod method in MethodRegistry.All) output.WriteLine($"  {method.Name.PadRight(width)}  {method.Summary}");
        output.WriteLine();
    }
}
