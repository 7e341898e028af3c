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
    /// or without weights, a llama2.c file with its <c>tok*.bin</c> beside it, a folder that was made from such a file.
    /// </param>
    /// <exception cref="LowbitException">There is none, or it is damaged.</exception>
    public static Tokenizer Load(string path) => Find(path) ??
        throw new LowbitException($"{path}: there is no tokenizer; expected tokenizer.json, vocab.json with merges.txt, tokenizer.model, or for a model of llama2.c the tok*.bin of its vocabulary (tok512.bin) beside the weights.");

    /// <summary>The same, but null where the model's files have no tokenizer.</summary>
    /// <param name="path">As <see cref="Load"/>.</param>
    /// <exception cref="LowbitException">There is no such model, or its tokenizer is damaged.</exception>
    public static Tokenizer? Find(string path)
    {
        if (Directory.Exists(path))
        {
            if (s_files.Any(name => File.Exists(Path.Combine(path, name)))) return Tokenizer.Load(path);
            return Directory.GetFiles(path, "*.gguf") is [string gguf] ? FromGguf(gguf) : FromLlama2CFolder(path);
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

    private static Tokenizer? FromLlama2C(string path, string folder)
    {
        int vocabulary;
        using (Llama2CFile file = Llama2CFile.Open(path)) vocabulary = file.Header.Vocabulary;
        return FromLlama2C(Llama2CTokenizerFile.Find(folder, vocabulary));
    }

    private static Tokenizer? FromLlama2CFolder(string folder)
    {
        string config = Path.Combine(folder, "config.json");
        return File.Exists(config) ? FromLlama2C(Llama2CTokenizerFile.Find(folder, JsonFile.ReadObject(config))) : null;
    }

    private static Tokenizer? FromLlama2C(Llama2CTokenizerFile? file) => file is null ? null : Tokenizer.FromLlama2C(file.Path, file.Vocabulary);
}
