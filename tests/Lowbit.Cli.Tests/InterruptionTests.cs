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
        using Process eval = Start("eval", model.Path, "--text", text, "--verbose", "--json", "--threads", "1");
        eval.StandardInput.Close();
        Assert.Contains("windows of 64", eval.StandardError.ReadLine()); // printed when the text is read and measuring begins
        Interrupt(eval);
        string error = eval.StandardError.ReadToEnd(), output = eval.StandardOutput.ReadToEnd();
        eval.WaitForExit();
        Assert.Equal(130, eval.ExitCode);
        Assert.EndsWith("lowbit: interrupted.\n", error);
        Assert.Equal("interrupted.", new LowbitResult(130, output, error).Json.GetProperty("error").GetString());
    }

    [Fact]
    public void CtrlCEndsAConversationThatWaitsForALine()
    {
        if (OperatingSystem.IsWindows()) return;
        string folder = model.In("talking");
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(model.Path)) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        File.WriteAllText(Path.Combine(folder, "chat_template.jinja"), "{% for m in messages %}{{ m.content }}{% endfor %}");
        using Process chat = Start("chat", folder, "--max-tokens", "1", "--temperature", "0", "--threads", "1");
        chat.StandardInput.WriteLine("hi");
        chat.StandardInput.Flush();
        Assert.NotNull(chat.StandardOutput.ReadLine()); // the answer; now it is the user's turn
        Interrupt(chat);
        bool ended = chat.WaitForExit(60_000);
        if (!ended) chat.Kill();
        Assert.True(ended, "it waits on");
        Assert.Equal(130, chat.ExitCode);
        Assert.Equal("lowbit: interrupted.\n", chat.StandardError.ReadToEnd());
    }

    private static Process Start(params string[] arguments)
    {
        ProcessStartInfo command = LowbitProcess.Command(arguments);
        if (OperatingSystem.IsLinux())
        {
            // Where the tests run in the background of a script, it is ignored, which is inherited.
            command.ArgumentList.Insert(0, command.FileName);
            command.ArgumentList.Insert(0, "--default-signal=INT");
            command.FileName = "env";
        }
        return Process.Start(command)!;
    }

    private static void Interrupt(Process process)
    {
        using Process kill = Process.Start("kill", ["-INT", process.Id.ToString()]);
        kill.WaitForExit();
    }
}
