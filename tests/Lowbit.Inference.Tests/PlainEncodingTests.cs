using System.Collections.Generic;
using System.IO;
using Lowbit.TestKit;
using Lowbit.Tokenizers;
using Xunit;

namespace Lowbit.Inference.Tests;

public class PlainEncodingTests
{
    // Letters a and b, their pair, and no bytes to fall back to.
    private const string Tokenizer = """
        { "version": "1.0", "added_tokens": [{ "id": 0, "content": "<unk>", "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false }],
          "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": { "type": "Fuse" },
          "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false, "vocab": { "<unk>": 0, "a": 1, "b": 2, "ab": 3 }, "merges": [["a", "b"]] } }
        """;

    [Fact]
    public void CharactersThatTheVocabularyLacksGoBeforeTheirNeighboursMerge()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lowbit-test-");
        try
        {
            string path = Path.Combine(folder.FullName, "tokenizer.json");
            File.WriteAllText(path, Tokenizer);
            Tokenizer tokenizer = TokenizerLoader.Load(path);
            Assert.Equal([3, 0, 2], tokenizer.Encode("ab\U0001F642éb", addSpecial: false));
            Assert.Equal([3, 2], tokenizer.EncodePlain("ab\U0001F642éb"));
            Assert.Equal([3], tokenizer.EncodePlain("a\U0001F642b"));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [SharedTheory]
    [InlineData("TinyStories-656K", "tinystories/stories.txt", 49892)]
    [InlineData("TinyStories-656K", "tinystories/stories.eval.txt", 32744)]
    [InlineData("TinyStories-656K", "wikitext-2/wiki.test.raw", 538960)]
    [InlineData("SmolLM2-135M-Instruct", "wikitext-2/wiki.valid.raw", 266979)]
    [InlineData("SmolLM2-135M-Instruct", "ptb/ptb.valid.txt", 89729)]
    public void TextsHaveAsManyTokensAsTransformersCounts(string model, string text, int tokens)
    {
        List<int> ids = TokenizerLoader.Load(Shared.Path("models", model)).EncodePlain(File.ReadAllText(Shared.Path("data", text)));
        Assert.Equal(tokens, ids.Count);
    }
}
