using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;

namespace Lowbit.TestKit;

/// <summary>A Llama with two blocks and random weights of a seed, written as a Hugging Face folder: a model for tests that have none.</summary>
public static class TinyLlama
{
    public const int Vocabulary = 96, ModelDim = 64, FfnDim = 112, Heads = 4, KvHeads = 2, HeadDim = 16, Blocks = 2, Context = 64;

    public const string Config = """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 112,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "hidden_act": "silu",
          "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2
        }
        """;

    /// <summary>Names and shapes of all tensors.</summary>
    public static IReadOnlyList<(string Name, long[] Shape)> Tensors()
    {
        List<(string, long[])> tensors = [("model.embed_tokens.weight", [Vocabulary, ModelDim]), ("model.norm.weight", [ModelDim])];
        for (int i = 0; i < Blocks; i++)
        {
            string block = string.Create(CultureInfo.InvariantCulture, $"model.layers.{i}.");
            tensors.Add((block + "input_layernorm.weight", [ModelDim]));
            tensors.Add((block + "post_attention_layernorm.weight", [ModelDim]));
            tensors.Add((block + "self_attn.q_proj.weight", [Heads * HeadDim, ModelDim]));
            tensors.Add((block + "self_attn.k_proj.weight", [KvHeads * HeadDim, ModelDim]));
            tensors.Add((block + "self_attn.v_proj.weight", [KvHeads * HeadDim, ModelDim]));
            tensors.Add((block + "self_attn.o_proj.weight", [ModelDim, Heads * HeadDim]));
            tensors.Add((block + "mlp.gate_proj.weight", [FfnDim, ModelDim]));
            tensors.Add((block + "mlp.up_proj.weight", [FfnDim, ModelDim]));
            tensors.Add((block + "mlp.down_proj.weight", [ModelDim, FfnDim]));
        }
        return tensors;
    }

    /// <summary>Values of a tensor: norms near one, others uniform with a deviation of about 1/√inFeatures.</summary>
    public static float[] Values(string name, long[] shape, int seed = 1)
    {
        long count = 1;
        foreach (long dimension in shape) count *= dimension;
        ulong hash = (ulong)seed;
        foreach (char letter in name) hash = hash * 31 + letter;
        SplitMix64 random = new(hash);
        float[] values = new float[count];
        float range = 1.7f / MathF.Sqrt(shape[^1]);
        for (int i = 0; i < values.Length; i++)
        {
            float uniform = (float)(2 * random.NextDouble() - 1);
            values[i] = shape.Length == 1 ? 1 + 0.1f * uniform : range * uniform;
        }
        return values;
    }

    /// <summary>Writes the folder.</summary>
    /// <param name="folder">Where; made if need be.</param>
    /// <param name="change">Changes the values of a tensor before they are written, or leaves it out by giving null.</param>
    /// <param name="config">Another configuration.</param>
    /// <param name="reshape">Another shape for a tensor.</param>
    public static void Write(string folder, Func<string, float[], float[]?>? change = null, string config = Config, Func<string, long[], long[]>? reshape = null)
    {
        Directory.CreateDirectory(folder);
        List<TensorSpec> specs = [];
        List<float[]> values = [];
        foreach ((string name, long[] shape) in Tensors())
        {
            long[] actual = reshape is null ? shape : reshape(name, shape);
            float[] original = Values(name, actual);
            float[]? changed = change is null ? original : change(name, original);
            if (changed is null) continue;
            specs.Add(new TensorSpec(name, ElementFormat.F32, [.. actual]));
            values.Add(changed);
        }
        using (SafetensorsWriter writer = new(Path.Combine(folder, "model.safetensors"), specs, ImmutableDictionary<string, string>.Empty))
        {
            for (int i = 0; i < specs.Count; i++) writer.Write(specs[i].Name, MemoryMarshal.AsBytes(values[i].AsSpan()));
            writer.Commit();
        }
        File.WriteAllText(Path.Combine(folder, "config.json"), config);
    }

    /// <summary>Token ids of a seed.</summary>
    public static int[] Ids(int count, int seed = 7)
    {
        SplitMix64 random = new((ulong)seed);
        int[] ids = new int[count];
        for (int i = 0; i < count; i++) ids[i] = random.Below(Vocabulary);
        return ids;
    }
}
