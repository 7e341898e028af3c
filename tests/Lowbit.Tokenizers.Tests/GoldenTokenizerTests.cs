using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

/// <summary>Ids and texts as Hugging Face tokenizers, SentencePiece and llama.cpp give them.</summary>
public sealed class GoldenTokenizerTests
{
    public static TheoryData<string> FamilyNames => [.. Families.Names];

    public static TheoryData<string> VocabularyNames => ["deepseek-coder", "deepseek-llm", "gpt-2", "llama-spm", "mpt", "starcoder"];

    [SharedTheory]
    [MemberData(nameof(FamilyNames))]
    public void Encodes_and_decodes_as_the_reference(string family)
    {
        Tokenizer tokenizer = Families.Get(family);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Shared.Path("golden", "tokenizers", $"{family}.json")));
        List<string> wrong = [];
        int cases = 0;
        foreach (JsonElement item in golden.RootElement.EnumerateArray())
        {
            string text = item.GetProperty("text").GetString()!;
            int[] ids = [.. item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
            List<int> found = tokenizer.Encode(text, addSpecial: false, parseSpecial: true);
            if (!found.SequenceEqual(ids)) wrong.Add($"{JsonSerializer.Serialize(text)}: [{string.Join(' ', found)}] instead of [{string.Join(' ', ids)}]");
            string decoded = tokenizer.Decode(ids, skipSpecial: false);
            if (decoded != item.GetProperty("decoded").GetString()) wrong.Add($"{JsonSerializer.Serialize(item.GetProperty("decoded").GetString())} decoded as {JsonSerializer.Serialize(decoded)}");
            cases++;
        }
        Assert.Equal(67, cases);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [SharedTheory]
    [MemberData(nameof(VocabularyNames))]
    public void Encodes_as_llama_cpp(string name)
    {
        Tokenizer tokenizer = Families.Get(name);
        string file = Shared.Path("data", "tokenizers", "llama.cpp-vocab", $"ggml-vocab-{name}.gguf");
        string[] texts = File.ReadAllText(file + ".inp").Split("\n__ggml_vocab_test__\n");
        string[] outputs = File.ReadAllText(file + ".out").Split('\n');
        List<string> wrong = [];
        int cases = 0;
        for (int i = 0; i < texts.Length && i < outputs.Length; i++)
        {
            string expected = outputs[i].Trim();
            string found = string.Join(' ', tokenizer.Encode(texts[i], addSpecial: false, parseSpecial: false));
            if (found != expected) wrong.Add($"{JsonSerializer.Serialize(texts[i])}: [{found}] instead of [{expected}]");
            cases++;
        }
        Assert.Equal(47, cases);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }
}
