using System;
using System.Linq;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Cli.Tests;

public class UsageTests
{
    public static TheoryData<string> Verbs => [.. CommandLine.Create().Subcommands.Select(verb => verb.Name)];

    [Fact]
    public void AloneItShowsTheMainCommands()
    {
        LowbitResult result = LowbitProcess.Run();
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("lowbit quickstart", result.Output);
        Assert.Empty(result.Error);
    }

    [Theory]
    [MemberData(nameof(Verbs))]
    public void EveryVerbExplainsItselfWithAnExample(string verb)
    {
        LowbitResult result = LowbitProcess.Run(verb, "--help");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains($"  lowbit {verb} ", result.Output[result.Output.IndexOf("Example:", StringComparison.Ordinal)..]);
        foreach (string option in new[] { "--json", "--threads <N>", "--quiet", "--verbose" }) Assert.Contains(option, result.Output);
    }

    [Theory]
    [InlineData("quantize")]
    [InlineData("layer")]
    public void TheHelpSaysWhatEachMethodIs(string verb)
    {
        string[] lines = LowbitProcess.Run(verb, "--help").Output.ReplaceLineEndings("\n").Split('\n');
        foreach (QuantizationMethod method in MethodRegistry.All)
            Assert.Contains(lines, line => line.StartsWith($"  {method.Name} ", StringComparison.Ordinal) && line.EndsWith($" {method.Summary}", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("there is no command 'evl'; did you mean eval?", "evl")]
    [InlineData("there is no command 'frobnicate'", "frobnicate")]
    [InlineData("there is no option '--contxt'; did you mean --context?", "eval", "m", "--contxt", "3")]
    [InlineData("there is no option '--frobnicate'", "inspect", "m", "--frobnicate")]
    [InlineData("there is no argument 'second'", "inspect", "first", "second")]
    [InlineData("inspect needs MODEL", "inspect")]
    [InlineData("--temperature is 'warm', but must be a number from 0 to 100.", "run", "m", "--temperature", "warm")]
    [InlineData("--temperature is 'NaN'", "run", "m", "--temperature", "NaN")]
    [InlineData("--temperature needs a value", "run", "m", "--temperature")]
    [InlineData("--threads is '-2', but must be a whole number from 0 to 1024.", "inspect", "m", "--threads", "-2")]
    [InlineData("--threads is given 2 times", "inspect", "m", "--threads", "1", "--threads", "2")]
    [InlineData("--protocol is 'mine', but must be gptq or llamacpp.", "eval", "m", "--protocol", "mine")]
    [InlineData("--ids has 'x', but must be token ids", "tokenize", "m", "--ids", "1,x")]
    [InlineData("--method is 'magic', but must be pb-gptq", "layer", "c", "--method", "magic")]
    [InlineData("--bits is '0', but must be a number from 0.5 to 8.", "layer", "c", "--bits", "0")]
    [InlineData("method rtn has no such setting", "layer", "c", "--method", "rtn", "--salient", "0.1")]
    [InlineData("eval needs --text FILE", "eval", "m")]
    [InlineData("run needs either --prompt or --prompt-ids", "run", "m")]
    [InlineData("run needs either --prompt or --prompt-ids", "run", "m", "--prompt", "a", "--prompt-ids", "1")]
    [InlineData("tokenize needs one of --text, --file and --ids", "tokenize", "m")]
    [InlineData("chat with --json needs --prompt", "chat", "m", "--json")]
    [InlineData("quantize needs -o OUT", "quantize", "m")]
    [InlineData("method pb-gptq needs --calibration FILE", "quantize", "m", "-o", "out")]
    public void BadUsageIsOneSentenceAndExitCodeTwo(string sentence, params string[] arguments)
    {
        LowbitResult result = LowbitProcess.Run(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith("lowbit: ", result.Error);
        Assert.Contains(sentence, result.Error);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
    }

    [Theory]
    [InlineData("there is no such file or folder", "inspect", "no-such-model")]
    [InlineData("there is no such file or folder", "tokenize", "no-such-model", "--text", "a")]
    [InlineData("there is no such file or folder", "run", "no-such-model", "--prompt", "a")]
    [InlineData("no-such-text: there is no such file", "eval", "no-such-model", "--text", "no-such-text")]
    [InlineData("no-such-case", "layer", "no-such-case", "--method", "rtn")]
    public void AFailureIsOneSentenceAndExitCodeOne(string sentence, params string[] arguments)
    {
        LowbitResult result = LowbitProcess.Run(arguments);
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("lowbit: ", result.Error);
        Assert.Contains(sentence, result.Error);
        Assert.Equal(1, result.Error.Count(c => c == '\n'));
        Assert.Empty(result.Output);
    }

    [Fact]
    public void AStackTraceIsShownOnlyWhenAskedFor()
    {
        Assert.DoesNotContain("   at ", LowbitProcess.Run("inspect", "no-such-model").Error);
        Assert.Contains("   at ", LowbitProcess.Run("inspect", "no-such-model", "--verbose").Error);
    }

    [Theory]
    [InlineData(1, "inspect", "no-such-model", "--json")]
    [InlineData(2, "inspect", "--json")]
    [InlineData(2, "inspect", "m", "--frobnicate", "--json")]
    public void WithJsonAFailureIsAnObjectToo(int exitCode, params string[] arguments)
    {
        LowbitResult result = LowbitProcess.Run(arguments);
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal($"lowbit: {result.Json.GetProperty("error").GetString()}\n", result.Error);
    }

    [Fact]
    public void APromptMayLookLikeAnythingButAnOption()
    {
        // Neither a response file nor a bundle of short options; the model is what is missing.
        foreach (string prompt in new[] { "@file", "-x", "[suggest]", "- a list", "" })
            Assert.Contains("there is no such file or folder", LowbitProcess.Run("run", "no-such-model", "--prompt", prompt).Error);
    }
}
