using System.Linq;
using System.Text.Json;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>Real models and texts through the program, against what transformers and llama.cpp give.</summary>
public class ReferenceTests
{
    private static readonly string s_tinyStories = Shared.Path("models", "TinyStories-656K");
    private static readonly string s_smolLm2 = Shared.Path("models", "SmolLM2-135M-Instruct");

    [SharedTheory]
    [InlineData("stories.txt", 512, 49892, 97, 38.11131)]
    [InlineData("stories.txt", 256, 49892, 194, 37.46004)]
    [InlineData("stories.eval.txt", 512, 32744, 63, 37.10184)]
    public void PerplexityByTheGptqProtocol(string text, int context, int tokens, int windows, double perplexity)
    {
        JsonElement json = LowbitProcess.Json("eval", s_tinyStories, "--text", Shared.Path("data", "tinystories", text), "--context", $"{context}");
        Assert.Equal(tokens, json.GetProperty("tokens").GetInt32());
        Assert.Equal(windows, json.GetProperty("windows").GetInt32());
        Assert.InRange(json.GetProperty("perplexity").GetDouble(), perplexity * (1 - 1e-5), perplexity * (1 + 1e-5));
    }

    [SharedFact]
    public void PerplexityByTheProtocolOfLlamaCpp()
    {
        JsonElement json = LowbitProcess.Json("eval", s_smolLm2, "--text", Shared.Path("data", "wikitext-2", "wiki.test.raw"), "--protocol", "llamacpp", "--windows", "1");
        Assert.Equal(303415, json.GetProperty("tokens").GetInt32());
        Assert.Equal(255, json.GetProperty("scored_tokens").GetInt32());
        Assert.InRange(json.GetProperty("perplexity").GetDouble(), 12.9560 * 0.999, 12.9560 * 1.001); // its cache is in half precision
    }

    [SharedTheory]
    [InlineData("TinyStories-656K", 96)]
    [InlineData("stories260K/stories260K.bin", 96)]
    [InlineData("SmolLM2-135M-Instruct", 16)]
    public void GreedyContinuations(string model, int mostTokens)
    {
        string name = model.Split('/')[0];
        using JsonDocument golden = JsonDocument.Parse(System.IO.File.ReadAllText(Shared.Path("golden", "models", name + ".json")));
        foreach (JsonElement test in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            int[] expected = [.. test.GetProperty("greedy_ids").EnumerateArray().Select(id => id.GetInt32()).Take(mostTokens)];
            string[] prompt = test.TryGetProperty("messages", out JsonElement messages)
                ? ["chat", Shared.Path("models", model), "--temperature", "0", .. messages.EnumerateArray().SelectMany(Said)]
                : ["run", Shared.Path("models", model), "--prompt", test.GetProperty("prompt").GetString()!];
            JsonElement json = LowbitProcess.Json([.. prompt, "--max-tokens", $"{expected.Length}", "--activations", "float"]);
            Assert.Equal(expected, json.GetProperty("token_ids").EnumerateArray().Select(id => id.GetInt32()));
            Assert.Equal(test.GetProperty("prompt_ids").GetArrayLength(), json.GetProperty("prompt_tokens").GetInt32());
        }
    }

    private static string[] Said(JsonElement message) =>
        [message.GetProperty("role").GetString() == "system" ? "--system" : "--prompt", message.GetProperty("content").GetString()!];

    [SharedTheory]
    [InlineData("pbllm_96x256_magnitude_low90_grow_gptq", 0.0967855155467987, "--method", "pb-gptq", "--salient", "0.1", "--scale-rule", "repository")]
    [InlineData("gptq_3bit_asym_g64_act", 0.008318035863339901, "--method", "gptq", "--bits", "3", "--group-size", "64", "--activation-order")]
    [InlineData("rtn_4bit_asym", 0.01794654317200184, "--method", "rtn", "--bits", "4")]
    public void LayersAsTheAuthorsCodeQuantizesThem(string name, double outputError, params string[] method)
    {
        JsonElement json = LowbitProcess.Json(["layer", Shared.Path("golden", name + ".safetensors"), .. method]);
        Assert.InRange(json.GetProperty("output_error").GetDouble(), outputError * 0.999, outputError * 1.001);
    }
}
