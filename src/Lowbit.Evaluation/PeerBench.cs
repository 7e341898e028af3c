using System;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Evaluation;

/// <summary>Runs llama.cpp's own benchmark program on a file, for comparisons on the same machine at the same time.</summary>
/// <param name="program">Path of <c>llama-bench</c>.</param>
/// <param name="model">A GGUF file.</param>
/// <param name="threads">Threads.</param>
/// <param name="promptTokens">Tokens to read at once.</param>
/// <param name="generateTokens">Tokens to generate one after the other.</param>
public sealed class PeerBench(string program, string model, int threads, int promptTokens, int generateTokens)
{
    /// <summary>One run: the prompt, then, in a second process, the tokens after a prompt as long, as our own measurement has them.</summary>
    /// <returns>Tokens a second.</returns>
    /// <exception cref="LowbitException">The program cannot be started, fails, or prints something else.</exception>
    public (double Prefill, double Decode) Run() =>
        (Speed(["-p", Number(promptTokens), "-n", "0"]), Speed(["-p", "0", "-n", Number(generateTokens), "-d", Number(promptTokens)]));

    private double Speed(string[] test)
    {
        ProcessStartInfo info = new(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        string[] arguments = ["-m", model, "-t", Number(threads), "-r", "1", "-o", "json", .. test];
        foreach (string argument in arguments) info.ArgumentList.Add(argument);
        try
        {
            using Process process = Process.Start(info) ?? throw new LowbitException($"--peer {program}: the program cannot be started; give the path of llama-bench.");
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0) throw new LowbitException($"--peer {program}: the program ended with code {process.ExitCode} on {model}; run it by hand to see why.");
            return Parse(output);
        }
        catch (Exception e) when (e is Win32Exception or JsonException)
        {
            throw new LowbitException($"--peer {program}: {e.Message} Give the path of llama-bench.", e);
        }
    }

    /// <summary>Reads what the program prints.</summary>
    /// <exception cref="JsonException">It is not the list of one test.</exception>
    internal static double Parse(string output)
    {
        using JsonDocument document = JsonDocument.Parse(output);
        if (document.RootElement is { ValueKind: JsonValueKind.Array } tests && tests.GetArrayLength() == 1 && tests[0].TryGetProperty("avg_ts", out JsonElement speed))
            return speed.GetDouble();
        throw new JsonException($"It printed {document.RootElement.GetRawText()} where a list of one test with avg_ts was expected.");
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
