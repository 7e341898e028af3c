using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Lowbit.Cli.Shell;

/// <summary>The generated help, and below it an example.</summary>
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
            parseResult.InvocationConfiguration.Output.WriteLine("Example:");
            foreach (string line in verb.Example.Split('\n')) parseResult.InvocationConfiguration.Output.WriteLine($"  {line}");
        }
        return ExitCode.Done;
    }
}
