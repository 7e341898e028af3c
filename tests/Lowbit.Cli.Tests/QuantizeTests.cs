using System.IO;
using System.Linq;
using System.Text.Json;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

public sealed class QuantizeTests(TinyModel model) : IClassFixture<TinyModel>
{
    [Fact]
    public void ThePackedModelIsMeasuredAndRunLikeAnyOther()
    {
        string output = model.In("packed");
        JsonElement report = LowbitProcess.Json("quantize", model.Path, "-o", output, "--method", "pb-rtn", "--salient", "0.25");
        Assert.Equal("pb-rtn", report.GetProperty("method").GetString());
        Assert.Equal(1 + 0.25 * 7 + 1, report.GetProperty("nominal_bits_per_weight").GetDouble(), 2);
        Assert.Equal(7, report.GetProperty("layers").GetArrayLength());
        Assert.Equal(["name", "output_error", "bits_per_weight"], report.GetProperty("layers")[0].EnumerateObject().Select(p => p.Name).Take(3));
        foreach (string field in new[] { "bits_per_weight", "weight_bytes", "seconds", "peak_memory_bytes" }) Assert.True(report.GetProperty(field).GetDouble() > 0, field);

        JsonElement inspected = LowbitProcess.Json("inspect", output);
        Assert.Equal(LowbitProcess.Json("inspect", model.Path).GetProperty("parameters").GetInt64(), inspected.GetProperty("parameters").GetInt64());
        Assert.Equal(report.GetProperty("weight_bytes").GetInt64(), inspected.GetProperty("weight_bytes").GetInt64());
        Assert.Equal(report.GetProperty("bits_per_weight").GetDouble(), inspected.GetProperty("bits_per_weight").GetDouble(), 9);

        double divergence = LowbitProcess.Json("eval", output, "--text", model.Text, "--windows", "2", "--base", model.Path).GetProperty("kl_divergence").GetDouble();
        Assert.InRange(divergence, 1e-6, 5);
        Assert.Equal(0, LowbitProcess.Run("run", output, "--prompt", "a", "--max-tokens", "4").ExitCode);
    }

    [Fact]
    public void ADryRunForecastsAndWritesNothing()
    {
        string output = model.In("dry");
        JsonElement plan = LowbitProcess.Json("quantize", model.Path, "-o", output, "--calibration", model.Text, "--samples", "4", "--dry-run");
        Assert.Equal(7, plan.GetProperty("layers").GetInt32());
        Assert.Equal(4 * 64, plan.GetProperty("calibration_tokens").GetInt32());
        Assert.Empty(Directory.EnumerateFileSystemEntries(model.Root, "dry*"));
    }

    [Fact]
    public void CalibrationTakesJsonLinesAndSaysWhatIsWrongWithThem()
    {
        string good = model.In("lines.jsonl"), bad = model.In("bad.jsonl");
        File.WriteAllLines(good, Enumerable.Repeat($$"""{ "text": {{JsonSerializer.Serialize(File.ReadAllText(model.Text))}}, "url": "x" }""", 2));
        File.WriteAllLines(bad, ["{ \"text\": \"a\" }", "{ \"content\": \"b\" }"]);
        Assert.Equal(0, LowbitProcess.Run("quantize", model.Path, "-o", model.In("lines"), "--calibration", good, "--samples", "2").ExitCode);
        LowbitResult result = LowbitProcess.Run("quantize", model.Path, "-o", model.In("bad"), "--calibration", bad);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("bad.jsonl: line 2 has no string \"text\"", result.Error);
    }

    [Fact]
    public void AnOutputThatIsThereIsNotOverwritten()
    {
        string output = model.In("twice");
        string[] command = ["quantize", model.Path, "-o", output, "--method", "pb-rtn"];
        Assert.Equal(0, LowbitProcess.Run(command).ExitCode);
        LowbitResult result = LowbitProcess.Run(command);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--force", result.Error);
        Assert.Equal(0, LowbitProcess.Run([.. command, "--force"]).ExitCode);
    }

    [Fact]
    public void QuickstartCompressesMeasuresAndRuns()
    {
        JsonElement report = LowbitProcess.Json("quickstart", model.Path, "--text", model.Text, "--prompt", "Line 1", "-o", model.In("quick"));
        Assert.True(report.GetProperty("weight_bytes").GetInt64() < report.GetProperty("weight_bytes_before").GetInt64());
        Assert.True(report.GetProperty("perplexity").GetDouble() > 1 && report.GetProperty("perplexity_before").GetDouble() > 1);
        Assert.StartsWith("Line 1", report.GetProperty("text").GetString());
    }
}
