using System.IO;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.Formats.Llama2C;
using Lowbit.Tokenizers;

namespace Lowbit.Inference;

/// <summary>Finds the tokenizer that belongs to a model, wherever its format keeps it.</summary>
public static class TokenizerLoader
{
    private static readonly string[] s_files = ["tokenizer.json", "tokenizer.model", "vocab.json"];

    /// <summary>Loads the tokenizer of a model.</summary>
    /// <param name="path">
    /// Anything that names a model, or a tokenizer alone: a folder with tokenizer files, one of these files, a GGUF file with
    /// or without weights, a llama2.c file with its <c>tok*.bin</c> beside it.
    /// </param>
    /// <exception cref="LowbitException">There is none, or it is damaged.</exception>
    public static Tokenizer Load(string path) => Find(path) ??
        throw new LowbitException($"{path}: there is no tokenizer; expected tokenizer.json, vocab.json with merges.txt, or tokenizer.model beside the weights.");

    /// <summary>The same, but null where the model's files have no tokenizer.</summary>
    /// <param name="path">As <see cref="Load"/>.</param>
    /// <exception cref="LowbitException">There is no such model, or its tokenizer is damaged.</exception>
    public static Tokenizer? Find(string path)
    {
        if (Directory.Exists(path))
        {
            if (s_files.Any(name => File.Exists(Path.Combine(path, name)))) return Tokenizer.Load(path);
            return Directory.GetFiles(path, "*.gguf") is [string gguf] ? FromGguf(gguf) : null;
        }
        if (!File.Exists(path)) throw new LowbitException($"{path}: there is no such file or folder.");
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!, name = Path.GetFileName(path);
        if (name.EndsWith(".gguf", System.StringComparison.OrdinalIgnoreCase)) return FromGguf(path);
        if (name.EndsWith(".bin", System.StringComparison.OrdinalIgnoreCase)) return FromLlama2C(path, folder);
        return name.Contains(".safetensors", System.StringComparison.OrdinalIgnoreCase) ? Find(folder) : Tokenizer.Load(path);
    }

    private static Tokenizer FromGguf(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        return Tokenizer.FromGguf(GgufVocabularies.Read(file), path);
    }

    // llama2.c names its tokenizer files after the size of the vocabulary: tok512.bin; tokenizer.bin holds Llama 2's.
    private static Tokenizer? FromLlama2C(string path, string folder)
    {
        int vocabulary;
        using (Llama2CFile file = Llama2CFile.Open(path)) vocabulary = file.Header.Vocabulary;
        string[] candidates = [Path.Combine(folder, $"tok{vocabulary}.bin"), Path.Combine(folder, "tokenizer.bin")];
        return candidates.FirstOrDefault(File.Exists) is { } found ? Tokenizer.FromLlama2C(found, vocabulary) : null;
    }
}
