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
        Assert.InRange(report.GetProperty("nominal_bits_per_weight").GetDouble(), 3.74, 3.76); // 1 + 7 · 0.25 + 1, but for whole numbers of weights
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

    [SharedFact]
    public void AModelOfLlama2CKeepsItsTokenizer()
    {
        string source = model.In("stories"), file = Path.Combine(source, "stories260K.bin"), output = model.In("stories-packed");
        Directory.CreateDirectory(source);
        File.Copy(Shared.Path("models", "stories260K", "stories260K.bin"), file);
        File.Copy(Shared.Path("models", "stories260K", "tok512.bin"), Path.Combine(source, "tok512.bin"));
        foreach (string other in new[] { "tok32000.bin", "tokenizer.bin" }) File.WriteAllText(Path.Combine(source, other), "of another model");
        Assert.Equal(0, LowbitProcess.Run("quantize", file, "-o", output, "--method", "pb-rtn", "--salient", "0.5").ExitCode);
        Assert.Equal(["tok512.bin"], Directory.EnumerateFiles(output, "tok*").Select(path => Path.GetFileName(path)));

        string[] story = ["--prompt", "Once upon a time", "--max-tokens", "8", "--temperature", "0"];
        JsonElement before = LowbitProcess.Json(["run", file, .. story]), after = LowbitProcess.Json(["run", output, .. story]);
        Assert.Equal(before.GetProperty("prompt_tokens").GetInt32(), after.GetProperty("prompt_tokens").GetInt32());
        Assert.Contains("there was", after.GetProperty("text").GetString());
        string[] measure = ["--text", Shared.Path("data", "tinystories", "stories.eval.txt"), "--windows", "2"];
        Assert.Equal(LowbitProcess.Json(["eval", file, .. measure]).GetProperty("tokens").GetInt32(), LowbitProcess.Json(["eval", output, .. measure]).GetProperty("tokens").GetInt32());
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
    public void AMemoryLimitIsKeptOrRefused()
    {
        // 4096 windows of 64 tokens have more hidden states than the working set of a process wanders from start to start.
        string[] command = ["quantize", model.Path, "-o", model.In("limited"), "--calibration", model.Text, "--samples", "4096", "--dry-run"];
        long needed = LowbitProcess.Json(command).GetProperty("peak_memory_bytes").GetInt64();
        JsonElement plan = LowbitProcess.Json([.. command, "--memory-limit", $"{needed - 8_000_000}"]);
        Assert.True(plan.GetProperty("hidden_states_in_file").GetBoolean());
        Assert.InRange(plan.GetProperty("peak_memory_bytes").GetInt64(), 1, needed - 8_000_000);
        LowbitResult refused = LowbitProcess.Run("quantize", model.Path, "-o", model.In("limited"), "--calibration", model.Text, "--samples", "4", "--memory-limit", "1MB");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("--memory-limit: 1000000 bytes were given, but this run needs about", refused.Error);
        Assert.Equal(2, LowbitProcess.Run([.. command, "--memory-limit", "2XB"]).ExitCode);
        Assert.Empty(Directory.EnumerateFileSystemEntries(model.Root, "limited*"));
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
        JsonElement[] rows = [.. report.GetProperty("rows").EnumerateArray()];
        Assert.Equal([0.5, 0.2, 0.1, 0.05, 0], rows.Skip(2).Select(row => row.GetProperty("salient").GetDouble()));
        Assert.Equal("gptq", rows[1].GetProperty("method").GetString());
        Assert.All(rows, row => Assert.True(row.GetProperty("perplexity").GetDouble() > 1));
        long[] bytes = [.. rows.Where((_, i) => i != 1).Select(row => row.GetProperty("weight_bytes").GetInt64())];
        Assert.Equal(bytes.OrderDescending(), bytes);
        JsonElement[] samples = [.. report.GetProperty("samples").EnumerateArray()];
        Assert.Equal(4, samples.Length);
        Assert.All(samples, sample => Assert.StartsWith("Line 1", sample.GetProperty("text").GetString()));
        Assert.Equal(0, LowbitProcess.Run("run", rows[1].GetProperty("output").GetString()!, "--prompt", "a", "--max-tokens", "2").ExitCode);
    }

    [Fact]
    public void ARecipeIsShownBeforehandAndFollowed()
    {
        string recipe = model.In("recipe.json"), output = model.In("mixed");
        File.WriteAllText(recipe, """{ "rules": [ { "match": "*.mlp.*", "method": "rtn", "options": { "bits": 3 } }, { "match": "*.q_proj", "method": "keep" } ] }""");
        string[] command = ["quantize", model.Path, "-o", output, "--method", "pb-rtn", "--recipe", recipe];
        JsonElement[] assignments = [.. LowbitProcess.Json([.. command, "--dry-run"]).GetProperty("assignments").EnumerateArray()];
        Assert.Equal(["keep", "pb-rtn", "pb-rtn", "pb-rtn", "rtn", "rtn", "rtn"], assignments.Select(layer => layer.GetProperty("method").GetString()));
        JsonElement report = LowbitProcess.Json(command);
        Assert.Equal(6, report.GetProperty("layers").GetArrayLength());
        Assert.True(report.GetProperty("diagnosis").GetArrayLength() > 0);

        File.WriteAllText(recipe, """{ "rules": [ { "match": "*", "method": "rtn", "options": { "bits": 99 } } ] }""");
        LowbitResult refused = LowbitProcess.Run([.. command, "--force"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("recipe.json: rules[0]: --bits: 99", refused.Error);
        Assert.Equal(2, LowbitProcess.Run([.. command, "--target-bits", "3"]).ExitCode);
    }

    [Fact]
    public void BitsAreGivenOutForASize()
    {
        JsonElement report = LowbitProcess.Json("quantize", model.Path, "-o", model.In("target"), "--method", "gptq", "--target-bits", "4.5", "--calibration", model.Text, "--samples", "4");
        Assert.InRange(report.GetProperty("linear_bits_per_weight").GetDouble(), 4, 4.5);
        Assert.Equal(7, report.GetProperty("allocation").GetArrayLength());
        Assert.Equal(2, LowbitProcess.Run("quantize", model.Path, "-o", model.In("none"), "--method", "gptq", "--target-bits", "4").ExitCode);
    }

    [Fact]
    public void AFolderOfTextsCalibrates()
    {
        string data = model.In("data");
        Directory.CreateDirectory(Path.Combine(data, "stories"));
        LowbitResult empty = LowbitProcess.Run("quantize", model.Path, "-o", model.In("folder"), "--calibration", Path.Combine(data, "stories"));
        Assert.Equal(1, empty.ExitCode);
        Assert.Contains("no text to calibrate with", empty.Error);
        File.Copy(model.Text, Path.Combine(data, "stories", "b.txt"));
        File.WriteAllText(Path.Combine(data, "stories", "a.jsonl"), $$"""{ "text": {{JsonSerializer.Serialize(File.ReadAllText(model.Text))}} }""");
        JsonElement plan = LowbitProcess.Json("quantize", model.Path, "-o", model.In("folder"), "--calibration", Path.Combine(data, "stories"), "--sampling", "sequential", "--dry-run");
        JsonElement one = LowbitProcess.Json("quantize", model.Path, "-o", model.In("folder"), "--calibration", model.Text, "--sampling", "sequential", "--dry-run");
        Assert.Equal(2 * one.GetProperty("calibration_tokens").GetInt64(), plan.GetProperty("calibration_tokens").GetInt64());
    }
}
