using System;
using System.IO;
using Lowbit.Core;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>Folders whose tensors and configuration do not fit each other: one clear sentence that names what and where.</summary>
public sealed class BadModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AMissingTensorIsNamed()
    {
        string error = ErrorOf(change: (name, values) => name == "model.layers.1.mlp.up_proj.weight" ? null : values);
        Assert.Contains("model.layers.1.mlp.up_proj.weight", error, StringComparison.Ordinal);
    }

    [Fact]
    public void AWrongShapeIsNamedWithWhatIsExpected()
    {
        string error = ErrorOf(reshape: (name, shape) => name == "model.layers.0.self_attn.k_proj.weight" ? [32, 63] : shape);
        Assert.Contains("model.layers.0.self_attn.k_proj.weight", error, StringComparison.Ordinal);
        Assert.Contains("[32, 63]", error, StringComparison.Ordinal);
        Assert.Contains("[32, 64]", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"hidden_size\": 64", "\"hidden_size\": 0", "hidden_size")]
    [InlineData("\"hidden_size\": 64", "\"hidden_size\": \"wide\"", "hidden_size")]
    [InlineData("\"hidden_size\": 64,", "", "\"hidden_size\" is missing")]
    [InlineData("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "3 key-value heads")]
    [InlineData("\"head_dim\": 16", "\"head_dim\": 15", "even number")]
    [InlineData("\"hidden_act\": \"silu\"", "\"hidden_act\": \"tanh\"", "hidden_act")]
    [InlineData("\"model_type\": \"llama\"", "\"model_type\": \"rwkv\"", "architecture \"rwkv\" is not supported")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_theta\": -1", "positive base")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}", "rope scaling \"dynamic\"")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}", "factor of 0")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": -4}", "factor of -4")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4}", "high_freq_factor 4")]
    [InlineData("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2.")]
    [InlineData("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000000", "blocks")]
    [InlineData("\"vocab_size\": 96", "\"vocab_size\": 97", "model.embed_tokens.weight")]
    public void AWrongConfigurationIsNamed(string right, string wrong, string expected)
    {
        Assert.Contains(right, TinyLlama.Config, StringComparison.Ordinal);
        string error = ErrorOf(config: TinyLlama.Config.Replace(right, wrong, StringComparison.Ordinal));
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("[]", "expected an object")]
    [InlineData("7", "expected an object")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{ \"eos_token_id\": \"end\" }", "\"eos_token_id\" is \"end\"; expected whole numbers")]
    [InlineData("{ \"eos_token_id\": [2, 2.5] }", "\"eos_token_id\" is [2, 2.5]; expected whole numbers")]
    public void AWrongGenerationConfigurationIsNamed(string generation, string expected)
    {
        string path = _folder.Write("model/generation_config.json", generation), error = ErrorOf();
        Assert.StartsWith(path, error, StringComparison.Ordinal);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public void TheGenerationConfigurationSaysWhereATextEnds()
    {
        string folder = _folder.File("model");
        TinyLlama.Write(folder);
        using (LanguageModel model = LanguageModel.Open(folder)) Assert.Equal([2], model.Config.EndIds.AsSpan().ToArray());
        _folder.Write("model/generation_config.json", "{ \"eos_token_id\": [3, 4] }");
        using (LanguageModel model = LanguageModel.Open(folder))
        {
            Assert.Equal([3, 4], model.Config.EndIds.AsSpan().ToArray());
            Assert.Equal(1, model.Config.BeginId);
        }
    }

    [Fact]
    public void AttentionBesideTheFeedForwardLayerNeedsTheModelsWidth()
    {
        string error = ErrorOf(config: """
            { "model_type": "gpt_neox", "hidden_size": 70, "num_attention_heads": 33, "num_hidden_layers": 1, "intermediate_size": 64,
              "vocab_size": 96, "max_position_embeddings": 32, "hidden_act": "gelu", "rotary_pct": 1.0 }
            """);
        Assert.Contains("33 heads of 2 features are 66 in all, but the model has 70", error, StringComparison.Ordinal);
    }

    [Fact]
    public void WeightsQuantizedBySomebodyElseAreRefused()
    {
        string error = ErrorOf(config: TinyLlama.Config.Replace("\"model_type\"", "\"quantization_config\": {\"quant_method\": \"gptq\"}, \"model_type\"", StringComparison.Ordinal));
        Assert.Contains("quantized by \"gptq\"", error, StringComparison.Ordinal);
    }

    [Fact]
    public void MutatedConfigurationsOpenOrFailClearly()
    {
        string folder = _folder.File("model");
        TinyLlama.Write(folder);
        string path = Path.Combine(folder, "config.json");
        int opened = 0, refused = 0;
        foreach (byte[] mutation in Mutations.Of(File.ReadAllBytes(path), seed: 5, count: 1500))
        {
            File.WriteAllBytes(path, mutation);
            try
            {
                using LanguageModel model = LanguageModel.Open(folder);
                opened++;
            }
            catch (LowbitException)
            {
                refused++;
            }
        }
        Assert.True(opened > 0 && refused > 0, $"{opened} opened, {refused} refused");
    }

    private string ErrorOf(Func<string, float[], float[]?>? change = null, string config = TinyLlama.Config, Func<string, long[], long[]>? reshape = null)
    {
        string folder = _folder.File("model");
        TinyLlama.Write(folder, change, config, reshape);
        LowbitException error = Assert.ThrowsAny<LowbitException>(() => LanguageModel.Open(folder));
        Assert.Contains(folder, error.Message, StringComparison.Ordinal);
        return error.Message;
    }
}
