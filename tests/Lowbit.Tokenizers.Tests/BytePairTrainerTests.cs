using System.IO;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.TestKit;
using Lowbit.Tokenizers.Training;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class BytePairTrainerTests
{
    [Fact]
    public void MergesAreThoseOfTheMostFrequentPairs()
    {
        // " aab" three times, "aab" once, " b" twice: aa and ab occur 4 times each, aa has the smaller ids; then aa·b.
        TrainedTokens tokens = BytePairTrainer.Train(["aab aab aab aab b b"], 256 + 4, []);
        Assert.Equal(["aa", "aab", " aab", " b"], tokens.Tokens.Skip(256).Select(Encoding.UTF8.GetString));
        Assert.Equal([('a', 'a'), ((char)256, 'b')], tokens.Merges.Take(2).Select(merge => ((char)merge.Left, (char)merge.Right)));
    }

    [Fact]
    public void WhatOccursOnceIsNotMerged()
    {
        Assert.Equal(256, BytePairTrainer.Train(["abc"], 1000, []).Tokens.Count);
        Assert.Contains("at least 257", Assert.Throws<LowbitException>(() => BytePairTrainer.Train(["abc"], 256, ["<end>"])).Message);
    }

    [Fact]
    public void TheFileIsReadByTheTokenizerAndGivesTextBack()
    {
        using TemporaryFolder folder = new();
        string text = string.Concat(Enumerable.Range(0, 50).Select(i => $"Line {i}: the quick brown fox, naïve as ever — 狐 🦊.\n\n\"It's\tfine\", he said.   \n"));
        BytePairTrainer.Train([text], 400, ["<|endoftext|>"]).Write(folder.File("tokenizer.json"));
        Tokenizer tokenizer = Tokenizer.Load(folder.Path);
        string other = "The quicker fox's naïveté: \0 狐狸 é\n" + text[..500];
        var ids = tokenizer.Encode(other, addSpecial: false, parseSpecial: false);
        Assert.Equal(other, tokenizer.Decode([.. ids]));
        Assert.True(ids.Count < Encoding.UTF8.GetByteCount(other) * 0.6);
        Assert.DoesNotContain(0, ids);
        Assert.Equal([0], tokenizer.Encode("<|endoftext|>", addSpecial: false, parseSpecial: true));
    }

    [SharedFact]
    public void StoriesTakeLittleMoreTokensThanWithTheTokenizerOfTheirModel()
    {
        using TemporaryFolder folder = new();
        string training = File.ReadAllText(Shared.Path("data", "tinystories", "stories.eval.txt")), text = File.ReadAllText(Shared.Path("data", "tinystories", "stories.calib.txt"));
        BytePairTrainer.Train([training], 2048, []).Write(folder.File("tokenizer.json"));
        int ours = Tokenizer.Load(folder.Path).Encode(text, addSpecial: false, parseSpecial: false).Count;
        int theirs = Tokenizer.Load(Shared.Path("models", "TinyStories-656K")).Encode(text, addSpecial: false, parseSpecial: false).Count;
        Assert.True(ours < 1.25 * theirs, $"{ours} tokens, {theirs} with the model's own tokenizer");
    }
}
