using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>The golden models of the Llama family, rewritten as GGUF the way llama.cpp's converter does it, give the same logits.</summary>
public sealed class GgufModelTests
{
    [SharedTheory]
    [InlineData("llama", "llama")]
    [InlineData("llama-head-dim", "llama")]
    [InlineData("llama-linear-rope", "llama")]
    [InlineData("llama-yarn", "llama")]
    [InlineData("llama-3.1-rope", "llama")]
    [InlineData("qwen2", "qwen2")]
    [InlineData("qwen3", "qwen3")]
    public void LogitsAreThoseOfTheReference(string name, string architecture)
    {
        using TemporaryFolder folder = new();
        using Checkpoint source = Checkpoint.Open(Shared.Path("golden", "architectures", name));
        string path = folder.Write("model.gguf", Convert(source, architecture));
        using LanguageModel model = LanguageModel.Open(path);
        using SafetensorsFile expected = SafetensorsFile.Open(Shared.Path("golden", "architectures", name, "expected.safetensors"));
        using WorkerPool pool = new(2);
        Golden.CheckLogits(model, pool, Golden.Integers(expected, "input_ids"), Golden.Integers(expected, "positions"), Golden.Floats(expected, "logits"));
    }

    [Fact]
    public void EveryFourthBlockOfSmolLm3DoesNotRotate()
    {
        using TemporaryFolder folder = new();
        string plain = folder.File("smollm3");
        Directory.CreateDirectory(plain);
        const string two = "\"num_hidden_layers\": 2", llama = "\"model_type\": \"llama\"", theta = "\"rope_theta\": 10000.0";
        Assert.All([two, llama, theta], part => Assert.Contains(part, TinyLlama.Config, StringComparison.Ordinal));
        File.WriteAllText(Path.Combine(plain, "config.json"), TinyLlama.Config.Replace(two, "\"num_hidden_layers\": 4", StringComparison.Ordinal)
            .Replace(llama, "\"model_type\": \"smollm3\"", StringComparison.Ordinal).Replace(theta, "\"rope_parameters\": { \"rope_type\": \"default\", \"rope_theta\": 10000.0 }", StringComparison.Ordinal));
        List<(string Name, long[] Shape)> tensors = [.. TinyLlama.Tensors()];
        foreach ((string name, long[] shape) in TinyLlama.Tensors())
        {
            if (name.Contains("layers.", StringComparison.Ordinal)) tensors.Add((name.Replace("layers.0", "layers.2", StringComparison.Ordinal).Replace("layers.1", "layers.3", StringComparison.Ordinal), shape));
        }
        using (SafetensorsWriter writer = new(Path.Combine(plain, "model.safetensors"), [.. tensors.Select(tensor => new TensorSpec(tensor.Name, ElementFormat.F32, [.. tensor.Shape]))], new Dictionary<string, string>()))
        {
            foreach ((string name, long[] shape) in tensors) writer.Write(name, MemoryMarshal.AsBytes(TinyLlama.Values(name, shape).AsSpan()));
            writer.Commit();
        }
        using Checkpoint source = Checkpoint.Open(plain);
        using LanguageModel expected = LanguageModel.Open(plain), actual = LanguageModel.Open(folder.Write("model.gguf", Convert(source, "smollm3")));
        Assert.Equal(3, Assert.Single(actual.Config.BlocksWithoutRope));
        float[] wanted = Logits(expected), found = Logits(actual);
        for (int i = 0; i < wanted.Length; i++) Assert.InRange(found[i], wanted[i] - 1e-4f, wanted[i] + 1e-4f);
    }

    private static float[] Logits(LanguageModel model)
    {
        using WorkerPool pool = new(1);
        using Session session = new(model, pool, 32, ActivationMode.Float);
        float[] logits = new float[model.Config.VocabularySize];
        session.Forward(TinyLlama.Ids(20), logits);
        return logits;
    }

    private static byte[] Convert(Checkpoint source, string architecture)
    {
        JsonElement config = source.Config!.Value;
        int heads = config.GetProperty("num_attention_heads").GetInt32(), kvHeads = config.GetProperty("num_key_value_heads").GetInt32();
        JsonElement rope = config.GetProperty("rope_parameters");
        GgufBuilder gguf = new();
        gguf.Add("general.architecture", architecture);
        void Size(string key, int value) => gguf.Add($"{architecture}.{key}", (uint)value);
        Size("embedding_length", config.GetProperty("hidden_size").GetInt32());
        Size("block_count", config.GetProperty("num_hidden_layers").GetInt32());
        Size("feed_forward_length", config.GetProperty("intermediate_size").GetInt32());
        Size("context_length", config.GetProperty("max_position_embeddings").GetInt32());
        Size("attention.head_count", heads);
        Size("attention.head_count_kv", kvHeads);
        if (config.TryGetProperty("head_dim", out JsonElement headDim))
        {
            Size("attention.key_length", headDim.GetInt32());
            Size("rope.dimension_count", headDim.GetInt32());
        }
        gguf.Add($"{architecture}.attention.layer_norm_rms_epsilon", config.GetProperty("rms_norm_eps").GetSingle());
        gguf.Add($"{architecture}.rope.freq_base", rope.GetProperty("rope_theta").GetSingle());
        string scaling = rope.GetProperty("rope_type").GetString()!;
        if (scaling == "llama3") gguf.Tensor("rope_freqs.weight", 0, [headDim.GetInt32() / 2], MemoryMarshal.AsBytes(Divisors(rope, headDim.GetInt32()).AsSpan()).ToArray());
        else if (scaling != "default")
        {
            gguf.Add($"{architecture}.rope.scaling.type", scaling);
            gguf.Add($"{architecture}.rope.scaling.factor", rope.GetProperty("factor").GetSingle());
        }
        if (scaling == "yarn") Size("rope.scaling.original_context_length", rope.GetProperty("original_max_position_embeddings").GetInt32());
        foreach (Tensor tensor in source.Tensors.Values)
        {
            int dot = tensor.Name.LastIndexOf('.');
            string name = TensorNames.Gguf.Translate(tensor.Name[..dot], TensorNames.Llama, config.GetProperty("num_hidden_layers").GetInt32()) + tensor.Name[dot..];
            float[] values = MemoryMarshal.Cast<byte, float>(tensor.Span).ToArray();
            if (architecture is "llama" or "smollm3" && name.Contains("attn_q", StringComparison.Ordinal)) values = Neighbours(values, heads);
            if (architecture is "llama" or "smollm3" && name.Contains("attn_k", StringComparison.Ordinal)) values = Neighbours(values, kvHeads);
            gguf.Tensor(name, 0, [.. tensor.Shape], MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        }
        return gguf.Build();
    }

    // Llama 3.1's scaling as the converter writes it: what each frequency is divided by.
    private static float[] Divisors(JsonElement rope, int headDim)
    {
        double Number(string key) => rope.GetProperty(key).GetDouble();
        double context = Number("original_max_position_embeddings"), factor = Number("factor"), low = Number("low_freq_factor"), high = Number("high_freq_factor");
        float[] divisors = new float[headDim / 2];
        for (int i = 0; i < divisors.Length; i++)
        {
            double turns = context / (2 * Math.PI * Math.Pow(Number("rope_theta"), 2.0 * i / headDim)); // of this pair over the context
            double smooth = Math.Clamp((turns - low) / (high - low), 0, 1);
            divisors[i] = (float)(1 / ((1 - smooth) / factor + smooth));
        }
        return divisors;
    }

    // The rows of a head from halves (i, i + d/2) to neighbours (2i, 2i + 1).
    private static float[] Neighbours(float[] values, int heads)
    {
        int columns = 64, rows = values.Length / columns, headDim = rows / heads;
        float[] permuted = new float[values.Length];
        for (int row = 0; row < rows; row++)
        {
            int head = row / headDim, i = row % headDim, half = headDim / 2;
            int to = head * headDim + (i < half ? 2 * i : 2 * (i - half) + 1);
            Array.Copy(values, row * columns, permuted, to * columns, columns);
        }
        return permuted;
    }
}
