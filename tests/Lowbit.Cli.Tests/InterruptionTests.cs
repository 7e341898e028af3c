using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

public sealed class InterruptionTests(TinyModel model) : IClassFixture<TinyModel>
{
    [Fact]
    public void CtrlCEndsWith130AndOneSentence()
    {
        if (OperatingSystem.IsWindows()) return; // no way to send it to one process there
        string text = model.In("long.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Repeat(File.ReadAllText(model.Text), 2000)));
        ProcessStartInfo command = LowbitProcess.Command("eval", model.Path, "--text", text, "--verbose", "--json", "--threads", "1");
        if (OperatingSystem.IsLinux())
        {
            // Where the tests run in the background of a script, it is ignored, which is inherited.
            command.ArgumentList.Insert(0, command.FileName);
            command.ArgumentList.Insert(0, "--default-signal=INT");
            command.FileName = "env";
        }
        using Process eval = Process.Start(command)!;
        eval.StandardInput.Close();
        Assert.Contains("windows of 64", eval.StandardError.ReadLine()); // printed when the text is read and measuring begins
        using (Process kill = Process.Start("kill", ["-INT", eval.Id.ToString()])) kill.WaitForExit();
        string error = eval.StandardError.ReadToEnd(), output = eval.StandardOutput.ReadToEnd();
        eval.WaitForExit();
        Assert.Equal(130, eval.ExitCode);
        Assert.EndsWith("lowbit: interrupted.\n", error);
        Assert.Equal("interrupted.", new LowbitResult(130, output, error).Json.GetProperty("error").GetString());
    }
}
