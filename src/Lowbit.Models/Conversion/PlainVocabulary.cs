using System;
using System.Collections.Generic;
using System.Globalization;
using Lowbit.Formats.Gguf;

namespace Lowbit.Models.Conversion;

/// <summary>
/// A vocabulary for models without one, in the form of SentencePiece: unknown, begin, end, all 256 bytes, the blank, and words of one,
/// two, three letters until the size is reached. Every text can be encoded, and ids become readable text.
/// </summary>
internal static class PlainVocabulary
{
    private const string Blank = "▁";

    /// <summary>Adds the vocabulary to the metadata of a file.</summary>
    public static void Describe(GgufMetadata metadata, int size)
    {
        const int unknown = 2, control = 3, plain = 1, oneByte = 6;
        List<string> tokens = ["<unk>", "<s>", "</s>"];
        List<int> types = [unknown, control, control];
        for (int b = 0; b < 256; b++)
        {
            tokens.Add(string.Create(CultureInfo.InvariantCulture, $"<0x{b:X2}>"));
            types.Add(oneByte);
        }
        foreach (string word in Words())
        {
            if (tokens.Count >= size) break;
            tokens.Add(word);
            types.Add(plain);
        }
        tokens.RemoveRange(size, Math.Max(0, tokens.Count - size));
        float[] scores = new float[size];
        for (int i = 259; i < size; i++) scores[i] = 259 - i; // longer words merge later
        metadata.Set("tokenizer.ggml.model", "llama");
        metadata.Set("tokenizer.ggml.pre", "default");
        metadata.SetArray("tokenizer.ggml.tokens", tokens);
        metadata.SetArray<float>("tokenizer.ggml.scores", scores);
        metadata.SetArray<int>("tokenizer.ggml.token_type", types.ToArray().AsSpan(0, size));
        metadata.Set("tokenizer.ggml.bos_token_id", 1u);
        metadata.Set("tokenizer.ggml.eos_token_id", 2u);
        metadata.Set("tokenizer.ggml.unknown_token_id", 0u);
        metadata.Set("tokenizer.ggml.add_bos_token", true);
        metadata.Set("tokenizer.ggml.add_eos_token", false);
    }

    private static IEnumerable<string> Words()
    {
        yield return Blank;
        List<string> shorter = [""];
        while (true)
        {
            List<string> words = [];
            foreach (string start in shorter)
            {
                for (char letter = 'a'; letter <= 'z'; letter++) words.Add(start + letter);
            }
            foreach (string word in words) yield return word;
            foreach (string word in words) yield return Blank + word;
            shorter = words;
        }
    }
}
