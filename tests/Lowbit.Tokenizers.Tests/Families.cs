using System;
using System.Collections.Concurrent;
using System.IO;
using System.Linq;
using Lowbit.TestKit;

namespace Lowbit.Tokenizers.Tests;

/// <summary>The real tokenizers of the reference data, each read once.</summary>
internal static class Families
{
    private static readonly ConcurrentDictionary<string, Lazy<Tokenizer>> s_read = new();

    public static readonly string[] Names = ["TinyStories-656K", "gpt2", "llama2", "llama3", "pythia", "qwen3", "smollm"];

    public static Tokenizer Get(string name) => s_read.GetOrAdd(name, key => new Lazy<Tokenizer>(() => key switch
    {
        "TinyStories-656K" => Tokenizer.Load(Shared.Path("models", key)),
        "gpt2" or "llama3" or "pythia" or "qwen3" or "llama2" => Tokenizer.Load(Shared.Path("data", "tokenizers", key)),
        "smollm" => FromGguf(Directory.GetFiles(Shared.Path("models", "SmolLM2-135M-Instruct"), "*.gguf").Single()),
        "stories260K" => Tokenizer.FromLlama2C(Shared.Path("models", key, "tok512.bin"), 512),
        _ => FromGguf(Shared.Path("data", "tokenizers", "llama.cpp-vocab", $"ggml-vocab-{key}.gguf")),
    })).Value;

    private static Tokenizer FromGguf(string path) => Tokenizer.FromGguf(GgufMetadata.ReadVocabulary(path), path);
}
