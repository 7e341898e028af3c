using System.Collections.Generic;
using System.Linq;
using System.Text.Encodings.Web;
using System.Text.Json.Nodes;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Training;

/// <summary>What <see cref="BytePairTrainer"/> learned.</summary>
/// <param name="Special">Special tokens; their ids come first.</param>
/// <param name="Tokens">The bytes of every other token, in the order of the ids.</param>
/// <param name="Merges">Pairs of places in <paramref name="Tokens"/>, most frequent first.</param>
public sealed record TrainedTokens(IReadOnlyList<string> Special, IReadOnlyList<byte[]> Tokens, IReadOnlyList<(int Left, int Right)> Merges)
{
    /// <summary>Writes a <c>tokenizer.json</c> as Hugging Face tokenizers have it.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LowbitException">The file cannot be written.</exception>
    public void Write(string path)
    {
        JsonArray added = [];
        JsonObject vocabulary = [];
        foreach (string token in Special)
        {
            added.Add((JsonNode)new JsonObject
            {
                ["id"] = added.Count,
                ["content"] = token,
                ["single_word"] = false,
                ["lstrip"] = false,
                ["rstrip"] = false,
                ["normalized"] = false,
                ["special"] = true,
            });
            vocabulary[token] = vocabulary.Count;
        }
        string[] names = [.. Tokens.Select(ByteAlphabet.Text)];
        foreach (string name in names) vocabulary[name] = vocabulary.Count;
        JsonArray merges = [.. Merges.Select(merge => (JsonNode)new JsonArray(names[merge.Left], names[merge.Right]))];
        JsonObject ByteLevel() => new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true };
        JsonObject json = new()
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = added,
            ["normalizer"] = null,
            ["pre_tokenizer"] = ByteLevel(),
            ["post_processor"] = null,
            ["decoder"] = ByteLevel(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null,
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = merges,
            },
        };
        AtomicFile.WriteJson(path, json, JavaScriptEncoder.UnsafeRelaxedJsonEscaping);
    }
}
