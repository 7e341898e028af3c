using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

public sealed class VerbTests(TinyModel model) : IClassFixture<TinyModel>
{
    [Fact]
    public void InspectCountsBytesAndBits()
    {
        JsonElement json = LowbitProcess.Json("inspect", model.Path);
        const long parameters = 2 * 259 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 3 * 32;
        Assert.Equal("llama", json.GetProperty("architecture").GetString());
        Assert.Equal(parameters, json.GetProperty("parameters").GetInt64());
        Assert.Equal(4 * parameters, json.GetProperty("weight_bytes").GetInt64());
        Assert.Equal(32, json.GetProperty("bits_per_weight").GetDouble());
        JsonElement tensor = json.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == "model.layers.0.mlp.up_proj.weight");
        Assert.Equal([64, 32], tensor.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32()));
        Assert.Equal("F32", tensor.GetProperty("format").GetString());
        Assert.Equal(8192, tensor.GetProperty("bytes").GetInt64());
    }

    [Theory]
    [InlineData("null", null)]
    [InlineData("""{ "quant_method": "gptq", "bits": 4 }""", null)]
    [InlineData("5", "\"quantization_config\" is 5; expected an object")]
    [InlineData("""{ "quant_method": "lowbit", "version": 1, "tensors": [] }""", "\"tensors\" is []; expected an object")]
    [InlineData("""{ "quant_method": "lowbit", "version": 1, "tensors": { "lm_head": null } }""", "\"lm_head\" is null; expected an object")]
    [InlineData("""{ "quant_method": "lowbit", "version": 1, "tensors": { "lm_head": { "rows": "many", "columns": 32, "format": "Q8_0" } } }""", "\"rows\" is \"many\"; expected a whole number")]
    public void InspectReadsAnyQuantizationConfigOrSaysWhatIsWrong(string quantization, string? error)
    {
        string folder = Directory.CreateDirectory(model.In("configured")).FullName, config = File.ReadAllText(Path.Combine(model.Path, "config.json"));
        File.Copy(Path.Combine(model.Path, "model.safetensors"), Path.Combine(folder, "model.safetensors"), overwrite: true);
        File.WriteAllText(Path.Combine(folder, "config.json"), config.Replace("\"model_type\"", $"\"quantization_config\": {quantization}, \"model_type\"", StringComparison.Ordinal));
        LowbitResult result = LowbitProcess.Run("inspect", folder);
        Assert.Equal(error is null ? 0 : 1, result.ExitCode);
        if (error is not null) Assert.Contains(error, result.Error);
    }

    [Fact]
    public void InAPipeTablesArePlainText()
    {
        LowbitResult result = LowbitProcess.Run("inspect", model.Path, "--verbose");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("model.layers.0.mlp.up_proj.weight", result.Output);
        Assert.DoesNotContain('\e', result.Output);
        Assert.DoesNotContain(result.Output.Split('\n'), line => line.EndsWith(' '));
    }

    [Fact]
    public void TextBecomesIdsAndIdsBecomeText()
    {
        JsonElement ids = LowbitProcess.Json("tokenize", model.Path, "--text", "aé");
        Assert.Equal([100, 198, 172], Ids(ids, "ids"));
        Assert.Equal("aé", LowbitProcess.Json("tokenize", model.Path, "--ids", "100,198,172").GetProperty("text").GetString());
        Assert.Equal([1, 100, 2], Ids(LowbitProcess.Json("tokenize", model.Path, "--special", "--text", "a</s>"), "ids"));
        Assert.Equal(5, Ids(LowbitProcess.Json("tokenize", model.Path, "--text", "a</s>"), "ids").Length);
        Assert.Equal(File.ReadAllBytes(model.Text).Length, Ids(LowbitProcess.Json("tokenize", model.Path, "--file", model.Text), "ids").Length);
        Assert.Equal(2, LowbitProcess.Run("tokenize", model.Path, "--ids", "259").ExitCode);
    }

    [Fact]
    public void EvalSaysEverythingThatDefinesThePerplexity()
    {
        JsonElement json = LowbitProcess.Json("eval", model.Path, "--text", model.Text, "--context", "32", "--windows", "3");
        Assert.Equal("gptq", json.GetProperty("protocol").GetString());
        Assert.Equal(new FileInfo(model.Text).Length, json.GetProperty("tokens").GetInt64());
        Assert.Equal(93, json.GetProperty("scored_tokens").GetInt32());
        Assert.Equal("float", json.GetProperty("activations").GetString());
        Assert.Equal(Math.Exp(json.GetProperty("mean_nll").GetDouble()), json.GetProperty("perplexity").GetDouble(), 6);
        Assert.InRange(json.GetProperty("perplexity").GetDouble(), 50, 1500); // random weights, 259 tokens
        JsonElement other = LowbitProcess.Json("eval", model.Path, "--text", model.Text, "--context", "32", "--windows", "3", "--protocol", "llamacpp");
        Assert.Equal(3 * 15, other.GetProperty("scored_tokens").GetInt32());
        Assert.NotEqual(json.GetProperty("perplexity").GetDouble(), other.GetProperty("perplexity").GetDouble());
    }

    [Fact]
    public void AModelDoesNotDivergeFromItself()
    {
        JsonElement json = LowbitProcess.Json("eval", model.Path, "--text", model.Text, "--windows", "1", "--base", model.Path);
        Assert.InRange(json.GetProperty("kl_divergence").GetDouble(), 0, 1e-9);
        Assert.Equal(1, json.GetProperty("top1_agreement").GetDouble());
        Assert.Equal(json.GetProperty("perplexity").GetDouble(), json.GetProperty("base_perplexity").GetDouble());
    }

    [Fact]
    public void ThreadsDoNotChangeThePerplexity()
    {
        string One(string threads) => LowbitProcess.Json("eval", model.Path, "--text", model.Text, "--windows", "2", "--threads", threads).GetProperty("mean_nll").GetRawText();
        Assert.Equal(One("1"), One("3"));
    }

    [Fact]
    public void RunIsDeterministicAndCountsItsTokens()
    {
        string[] command = ["run", model.Path, "--prompt", "ab", "--max-tokens", "7", "--ignore-eos"];
        JsonElement greedy = LowbitProcess.Json(command);
        Assert.Equal(7, Ids(greedy, "token_ids").Length);
        Assert.Equal(3, greedy.GetProperty("prompt_tokens").GetInt32()); // with the begin token
        Assert.Equal("max_tokens", greedy.GetProperty("stop_reason").GetString());
        Assert.Equal(Ids(greedy, "token_ids"), Ids(LowbitProcess.Json("run", model.Path, "--prompt-ids", "1,100,101", "--max-tokens", "7", "--ignore-eos"), "token_ids"));
        int[] Sampled(string seed) => Ids(LowbitProcess.Json([.. command, "--temperature", "1", "--seed", seed]), "token_ids");
        Assert.Equal(Sampled("5"), Sampled("5"));
        Assert.NotEqual(Sampled("5"), Sampled("6"));
    }

    [Fact]
    public void APromptThatDoesNotFitIsRefused()
    {
        LowbitResult result = LowbitProcess.Run("run", model.Path, "--prompt", new string('a', 100));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("the prompt has 101 tokens", result.Error);
    }

    [Fact]
    public void TokensOutsideTheVocabularyAreRefused()
    {
        LowbitResult result = LowbitProcess.Run("run", model.Path, "--prompt-ids", "1,9999");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("token 9999", result.Error);
    }

    [Fact]
    public void ATextThatIsNoUtf8IsRefused()
    {
        string path = model.In("latin1.txt");
        File.WriteAllBytes(path, [(byte)'a', 0xE9, (byte)'b']);
        LowbitResult result = LowbitProcess.Run("eval", model.Path, "--text", path);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("byte 1 is not UTF-8", result.Error);
    }

    [Fact]
    public void AModelWithoutChatTemplateSendsTheUserToRun()
    {
        LowbitResult result = LowbitProcess.Run("chat", model.Path, "--prompt", "hi");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("has no chat template", result.Error);
    }

    [Fact]
    public void BenchReportsSpeedBesideTheMemoryRoof()
    {
        JsonElement json = LowbitProcess.Json("bench", model.Path, "--prompt-tokens", "8", "--generate-tokens", "4", "--repeat", "2", "--threads", "2");
        double decode = json.GetProperty("decode_tokens_per_second").GetDouble(), bytes = json.GetProperty("weight_bytes_per_token").GetDouble();
        Assert.True(decode > 0 && json.GetProperty("prefill_tokens_per_second").GetDouble() > 0);
        Assert.Equal(4 * (259 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32), bytes);
        Assert.Equal(decode * bytes / json.GetProperty("memory_bandwidth_bytes_per_second").GetDouble(), json.GetProperty("roofline_fraction").GetDouble(), 9);
        Assert.Equal(2, json.GetProperty("threads").GetInt32());
    }

    [Fact]
    public void LayerQuantizesAMatrixAndWritesIt()
    {
        var random = new Random(2);
        float[] weight = Normal(random, 16 * 64), inputs = Normal(random, 100 * 64);
        string path = model.In("case.safetensors"), output = model.In("result.safetensors");
        TensorSpec[] tensors = [new("weight", ElementFormat.F32, [16, 64]), new("inputs", ElementFormat.F32, [100, 64])];
        using (var writer = new SafetensorsWriter(path, tensors, new Dictionary<string, string>()))
        {
            writer.Write("weight", MemoryMarshal.AsBytes(weight.AsSpan()));
            writer.Write("inputs", MemoryMarshal.AsBytes(inputs.AsSpan()));
            writer.Commit();
        }
        double Error(params string[] method)
        {
            double reported = LowbitProcess.Json(["layer", path, "-o", output, .. method]).GetProperty("output_error").GetDouble();
            using SafetensorsFile file = SafetensorsFile.Open(output);
            float[] dequantized = MemoryMarshal.Cast<byte, float>(file.Tensors["dequantized"].Span).ToArray();
            Assert.Equal(OutputError(weight, dequantized, inputs, 64), reported, 4);
            return reported;
        }
        double rtn = Error("--method", "rtn", "--bits", "3"), gptq = Error("--method", "gptq", "--bits", "3"), binary = Error("--method", "pb-gptq", "--salient", "0.1");
        Assert.True(gptq < rtn && rtn < binary, $"gptq {gptq}, rtn {rtn}, pb-gptq {binary}");
    }

    private static int[] Ids(JsonElement json, string property) => [.. json.GetProperty(property).EnumerateArray().Select(id => id.GetInt32())];

    private static float[] Normal(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];

    private static double OutputError(float[] weight, float[] quantized, float[] inputs, int columns)
    {
        double lost = 0, all = 0;
        for (int t = 0; t < inputs.Length; t += columns)
            for (int r = 0; r < weight.Length; r += columns)
            {
                double error = 0, output = 0;
                for (int c = 0; c < columns; c++)
                {
                    error += inputs[t + c] * (double)(weight[r + c] - quantized[r + c]);
                    output += inputs[t + c] * (double)weight[r + c];
                }
                lost += error * error;
                all += output * output;
            }
        return lost / all;
    }
}
