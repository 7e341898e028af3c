using System;
using System.Diagnostics;
using System.IO;
using System.Text.Json;
using System.Threading.Tasks;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>Runs the built program as a user would: another process, its streams redirected.</summary>
internal static class LowbitProcess
{
    public static ProcessStartInfo Command(params string[] arguments)
    {
        // The program that ./lowbit has built can take the place of the one beside the tests: LOWBIT_PROGRAM names its file.
        string? native = Environment.GetEnvironmentVariable("LOWBIT_PROGRAM");
        var info = new ProcessStartInfo(native ?? "dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (native is null) info.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "lowbit.dll"));
        foreach (string argument in arguments) info.ArgumentList.Add(argument);
        return info;
    }

    public static LowbitResult Run(params string[] arguments) => RunWithInput("", arguments);

    public static LowbitResult RunWithInput(string input, params string[] arguments)
    {
        using Process process = Process.Start(Command(arguments))!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new LowbitResult(process.ExitCode, output, error.Result);
    }

    /// <summary>Runs a command that must succeed, and gives the one JSON object that it prints.</summary>
    public static JsonElement Json(params string[] arguments)
    {
        LowbitResult result = Run([.. arguments, "--json"]);
        Assert.True(result.ExitCode == 0, $"exit code {result.ExitCode}: {result.Error}");
        return result.Json;
    }
}

internal sealed record LowbitResult(int ExitCode, string Output, string Error)
{
    /// <summary>Standard output, which must be one JSON object and nothing else.</summary>
    public JsonElement Json
    {
        get
        {
            JsonElement root = JsonDocument.Parse(Output).RootElement;
            Assert.Equal(JsonValueKind.Object, root.ValueKind);
            return root;
        }
    }
}
