using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;

namespace Lowbit.TestKit;

/// <summary>
/// A Llama of one block with random weights and a vocabulary of bytes, and a text for it: enough to run every verb where
/// no real model is at hand.
/// </summary>
public sealed class TinyModel : IDisposable
{
    private const int Dim = 32, Ffn = 64, Vocabulary = 259; // <unk>, <s>, </s>, 256 bytes

    public TinyModel()
    {
        Root = Directory.CreateTempSubdirectory("lowbit-test-").FullName;
        Path = System.IO.Path.Combine(Root, "model");
        Directory.CreateDirectory(Path);
        WriteWeights();
        File.WriteAllText(System.IO.Path.Combine(Path, "config.json"), $$"""
            { "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": {{Dim}}, "intermediate_size": {{Ffn}}, "num_hidden_layers": 1,
              "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": {{Vocabulary}}, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2 }
            """);
        File.WriteAllText(System.IO.Path.Combine(Path, "tokenizer.json"), TokenizerJson());
        Text = In("text.txt");
        File.WriteAllText(Text, string.Concat(Enumerable.Range(0, 40).Select(i => $"Line {i}: the quick brown fox, naïve as ever.\n")));
    }

    public string Root { get; }

    public string Path { get; }

    /// <summary>About 1800 tokens.</summary>
    public string Text { get; }

    public string In(string name) => System.IO.Path.Combine(Root, name);

    public void Dispose() => Directory.Delete(Root, recursive: true);

    private void WriteWeights()
    {
        TensorSpec[] tensors =
        [
            Matrix("model.embed_tokens", Vocabulary, Dim), Matrix("lm_head", Vocabulary, Dim),
            Matrix("model.layers.0.self_attn.q_proj", Dim, Dim), Matrix("model.layers.0.self_attn.k_proj", Dim / 2, Dim),
            Matrix("model.layers.0.self_attn.v_proj", Dim / 2, Dim), Matrix("model.layers.0.self_attn.o_proj", Dim, Dim),
            Matrix("model.layers.0.mlp.gate_proj", Ffn, Dim), Matrix("model.layers.0.mlp.up_proj", Ffn, Dim), Matrix("model.layers.0.mlp.down_proj", Dim, Ffn),
            Norm("model.layers.0.input_layernorm"), Norm("model.layers.0.post_attention_layernorm"), Norm("model.norm"),
        ];
        using var writer = new SafetensorsWriter(System.IO.Path.Combine(Path, "model.safetensors"), tensors, new Dictionary<string, string>());
        var random = new Random(1);
        foreach (TensorSpec tensor in tensors)
        {
            float[] values = [.. Enumerable.Range(0, (int)tensor.Bytes / 4).Select(_ => tensor.Shape.Length == 1 ? 1 : (random.NextSingle() - 0.5f) * 0.6f)];
            writer.Write(tensor.Name, MemoryMarshal.AsBytes(values.AsSpan()));
        }
        writer.Commit();
    }

    private static TensorSpec Matrix(string name, int rows, int columns) => new(name + ".weight", ElementFormat.F32, [rows, columns]);

    private static TensorSpec Norm(string name) => new(name + ".weight", ElementFormat.F32, [Dim]);

    private static string TokenizerJson()
    {
        var vocabulary = new StringBuilder("\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2");
        for (int b = 0; b < 256; b++) vocabulary.Append($", \"<0x{b:X2}>\": {b + 3}");
        string added = string.Join(", ", new[] { "<unk>", "<s>", "</s>" }.Select((content, id) =>
            $$"""{ "id": {{id}}, "content": {{JsonSerializer.Serialize(content)}}, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false }"""));
        return $$"""
            { "version": "1.0", "added_tokens": [{{added}}], "normalizer": null, "pre_tokenizer": null,
              "post_processor": { "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
                "pair": [], "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } },
              "decoder": { "type": "Sequence", "decoders": [{ "type": "ByteFallback" }, { "type": "Fuse" }] },
              "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": { {{vocabulary}} }, "merges": [] } }
            """;
    }
}
