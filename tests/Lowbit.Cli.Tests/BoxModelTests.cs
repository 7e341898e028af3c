using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>The model that comes with the program: a real one, in every checkout.</summary>
public sealed class BoxModelTests : IDisposable
{
    private static readonly string s_model = Path.Combine(AppContext.BaseDirectory, "models", "lowbit-stories");
    private static readonly string s_heldOut = Path.Combine(s_model, "held-out.jsonl");
    private readonly string _folder = Directory.CreateTempSubdirectory("lowbit-box-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void QuickstartShowsWhatEverySizeCosts()
    {
        JsonElement report = LowbitProcess.Json("quickstart", "-o", In("quick"));
        JsonElement[] rows = [.. report.GetProperty("rows").EnumerateArray()];
        Assert.Equal(8, rows.Length);
        double[] perplexity = [.. rows.Select(row => row.GetProperty("perplexity").GetDouble())];
        Assert.InRange(perplexity[0], 2, 5);
        Assert.InRange(perplexity[1], 0.99 * perplexity[0], 1.05 * perplexity[0]); // 4 bits cost next to nothing
        Assert.Equal(perplexity[2..7].Order(), perplexity[2..7]);                   // fewer salient weights, worse
        Assert.True(perplexity[6] > 2 * perplexity[0], $"plain binarization: {perplexity[6]}, the original: {perplexity[0]}");
        double[] bits = [.. rows.Skip(2).Take(5).Select(row => row.GetProperty("linear_bits_per_weight").GetDouble())];
        Assert.Equal(bits.OrderDescending(), bits);
        Assert.InRange(report.GetProperty("recovered").GetDouble(), 0.4, 1);
        Assert.Equal(5, report.GetProperty("samples").GetArrayLength());
        JsonElement written = LowbitProcess.Json("run", rows[7].GetProperty("output").GetString()!, "--prompt", "Once upon a time", "--max-tokens", "12");
        Assert.Contains("there was a", written.GetProperty("text").GetString());
    }

    [Fact]
    public void QuantizeEvalAndRunWorkTogether()
    {
        string stories = Path.Combine(s_model, "stories.jsonl"), output = In("three-bits");
        JsonElement quantized = LowbitProcess.Json("quantize", s_model, "-o", output, "--method", "gptq", "--bits", "3", "--group-size", "64", "--calibration", stories, "--samples", "32");
        Assert.All(quantized.GetProperty("layers").EnumerateArray(), layer => Assert.InRange(layer.GetProperty("output_error").GetDouble(), 1e-6, 0.1));
        JsonElement evaluated = LowbitProcess.Json("eval", output, "--text", s_heldOut, "--windows", "16", "--base", s_model);
        double perplexity = evaluated.GetProperty("perplexity").GetDouble(), original = evaluated.GetProperty("base_perplexity").GetDouble();
        Assert.InRange(perplexity, original, 1.2 * original);
        JsonElement written = LowbitProcess.Json("run", output, "--prompt", "Once upon a time", "--max-tokens", "12");
        Assert.Contains("there was a", written.GetProperty("text").GetString());
    }

    [Fact]
    public void ACorpusIsTheSameWithAnyNumberOfThreads()
    {
        List<string> files = [];
        foreach (int threads in (int[])[1, 3])
        {
            files.Add(In($"corpus-{threads}.jsonl"));
            JsonElement report = LowbitProcess.Json("corpus", s_model, "--texts", "6", "--prompt", "One day", "--max-tokens", "20", "--seed", "7", "--threads", threads.ToString(CultureInfo.InvariantCulture), "-o", files[^1]);
            Assert.Equal(6, report.GetProperty("texts").GetInt32());
        }
        string[] lines = File.ReadAllLines(files[0]);
        Assert.Equal(lines, File.ReadAllLines(files[1]));
        string[] texts = [.. lines.Select(line => JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!)];
        Assert.All(texts, text => Assert.StartsWith("One day", text));
        Assert.True(texts.Distinct().Count() > 1);
        Assert.Equal(1, LowbitProcess.Run("corpus", s_model, "-o", files[0]).ExitCode); // the file is there
    }

    [Fact]
    public void QuickstartNeedsAModelForATextOfTheUser() =>
        Assert.Equal(2, LowbitProcess.Run("quickstart", "--text", s_heldOut).ExitCode);

    private string In(string name) => Path.Combine(_folder, name);
}
