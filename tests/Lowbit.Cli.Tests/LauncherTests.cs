using System;
using System.IO;
using System.Linq;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>The two programs at the root of the repository, which build lowbit and run it, take the same steps.</summary>
public class LauncherTests
{
    private static readonly string s_root = Root();

    [Fact]
    public void BothBuildTheSameAndRunTheSame() // but for the native program, which only the shell has
    {
        string shell = File.ReadAllText(Path.Combine(s_root, "lowbit")), windows = File.ReadAllText(Path.Combine(s_root, "lowbit.cmd")).Replace('\\', '/');
        foreach (string step in new[] { "-c Release --nologo -v quiet", "artifacts/bin/Lowbit.Cli/release/lowbit.dll", "lowbit: the build failed; the messages above say why.", "the .NET 10 SDK is not installed" })
        {
            Assert.Contains(step, shell);
            Assert.Contains(step, windows);
        }
        Assert.True(File.Exists(Path.Combine(s_root, "src", "Lowbit.Cli", "Lowbit.Cli.csproj")));
        Assert.Contains("src/Lowbit.Cli", shell);
        Assert.Contains("src/Lowbit.Cli", windows);
    }

    [Fact]
    public void TheOneOfWindowsIsAWholeBatchFile()
    {
        string text = File.ReadAllText(Path.Combine(s_root, "lowbit.cmd"));
        Assert.Equal(text.Count(c => c == '\n'), text.Split("\r\n").Length - 1);
        string[] lines = [.. text.Split("\r\n").Select(line => line.Trim())];
        Assert.Equal(lines.Count(line => line.EndsWith('(')), lines.Count(line => line == ")"));
        // The exit code is that of lowbit, whose arguments come through as they are, and it runs in the caller's folder.
        int run = Array.FindIndex(lines, line => line.EndsWith("lowbit.dll\" %*", StringComparison.Ordinal));
        Assert.Equal("exit /b %ERRORLEVEL%", lines[run + 1]);
        Assert.InRange(Array.IndexOf(lines, "popd"), Array.IndexOf(lines, "pushd \"%root%\""), run);
        // An opening bracket in an echo within a block would end the block.
        Assert.All(lines.Where(line => line.StartsWith("echo ", StringComparison.Ordinal)), line => Assert.DoesNotContain(')', line));
    }

    private static string Root()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Lowbit.slnx"))) folder = Path.GetDirectoryName(folder.TrimEnd(Path.DirectorySeparatorChar))!;
        return folder;
    }
}
