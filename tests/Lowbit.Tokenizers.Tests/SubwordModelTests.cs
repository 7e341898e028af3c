using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using FsCheck.Xunit;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class SubwordModelTests
{
    private static List<int> Encode(SubwordModel model, string text)
    {
        List<int> ids = [];
        model.Encode(Encoding.UTF8.GetBytes(text), dropUnknown: false, ids, WorkMeter.ForText(text.Length));
        return ids;
    }

    private static Vocabulary Tokens(params IEnumerable<string> tokens) => new([.. tokens.Select(Encoding.UTF8.GetBytes)]);

    /// <summary>The definition: merge the leftmost of the pairs with the lowest rank, as long as there is one.</summary>
    private static List<int> MergeNaively(List<int> symbols, MergeTable merges)
    {
        while (true)
        {
            int best = -1, bestRank = int.MaxValue, bestId = 0;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (merges.Find(symbols[i], symbols[i + 1], out int rank, out int id) && rank < bestRank) (best, bestRank, bestId) = (i, rank, id);
            }
            if (best < 0) return symbols;
            symbols[best] = bestId;
            symbols.RemoveAt(best + 1);
        }
    }

    [Property(MaxTest = 300)]
    public void Merging_by_heap_is_merging_by_definition(int seed, byte length)
    {
        Random random = new(seed);
        List<string> tokens = ["a", "b", "c"];
        MergeTable merges = new(4);
        for (int i = 0; i < 40; i++)
        {
            int left = random.Next(tokens.Count), right = random.Next(tokens.Count);
            string token = tokens[left] + tokens[right];
            int id = tokens.IndexOf(token);
            if (id < 0)
            {
                id = tokens.Count;
                tokens.Add(token);
            }
            merges.Add(left, right, random.Next(30), id); // equal ranks happen in SentencePiece vocabularies
        }
        BytePairEncoding model = new(Tokens(tokens), merges, new BytePairOptions());
        string text = string.Concat(Enumerable.Range(0, length + 1).Select(_ => "abc"[random.Next(3)]));
        Assert.Equal(MergeNaively([.. text.Select(letter => letter - 'a')], merges), Encode(model, text));
    }

    [Fact]
    public void Merge_table_keeps_the_first_of_equal_pairs_and_grows()
    {
        MergeTable table = new(1);
        for (int i = 0; i < 5000; i++) table.Add(i, i, i, i + 1);
        table.Add(7, 7, 99, 99);
        Assert.Equal(5000, table.Count);
        for (int i = 0; i < 5000; i++) Assert.True(table.Find(i, i, out int rank, out int id) && rank == i && id == i + 1);
        Assert.False(table.Find(7, 8, out _, out _));
    }

    [Fact]
    public void Unknown_characters_fall_back_to_bytes_or_fuse_or_go()
    {
        Vocabulary bytes = Tokens([.. Enumerable.Range(0, 256).Select(SubwordModel.ByteTokenName), "a", "<unk>"]);
        Vocabulary plain = Tokens("a", "<unk>");
        Assert.Equal([256, 0xC3, 0xA9], Encode(new BytePairEncoding(bytes, new MergeTable(0), new BytePairOptions { ByteFallback = true, UnknownId = 257 }), "aé"));
        Assert.Equal([0, 1, 1, 0], Encode(new BytePairEncoding(plain, new MergeTable(0), new BytePairOptions { ByteFallback = true, UnknownId = 1 }), "aééa"));
        Assert.Equal([0, 1, 0], Encode(new BytePairEncoding(plain, new MergeTable(0), new BytePairOptions { UnknownId = 1, FuseUnknown = true }), "aééa"));
        Assert.Equal([0, 0], Encode(new BytePairEncoding(plain, new MergeTable(0), new BytePairOptions()), "aééa"));
    }

    [Fact]
    public void Whole_words_stay_whole_only_where_merges_are_ignored()
    {
        Vocabulary vocabulary = Tokens("a", "b", "ab");
        Assert.Equal([2], Encode(new BytePairEncoding(vocabulary, new MergeTable(0), new BytePairOptions { WholeWords = true }), "ab"));
        Assert.Equal([0, 1], Encode(new BytePairEncoding(vocabulary, new MergeTable(0), new BytePairOptions()), "ab"));
    }

    [Fact]
    public void A_text_is_cut_into_words_only_where_no_token_crosses_them()
    {
        MergeTable crossing = new(0);
        crossing.Add(1, 0, 0, 2); // a▁
        Assert.Equal([0, 2, 1], Encode(new BytePairEncoding(Tokens("▁", "a", "a▁"), crossing, new BytePairOptions()), "▁a▁a"));
        MergeTable within = new(0);
        within.Add(0, 1, 0, 2); // ▁a
        Assert.Equal([0, 2, 2], Encode(new BytePairEncoding(Tokens("▁", "a", "▁a"), within, new BytePairOptions()), "▁▁a▁a"));
    }

    [Fact]
    public void Work_of_merging_grows_like_n_and_the_cache_spares_it()
    {
        MergeTable merges = new(0);
        for (int i = 0; i < 10; i++) merges.Add(i, i, i, i + 1);
        BytePairEncoding model = new(Tokens(Enumerable.Range(0, 11).Select(i => new string('a', 1 << i))), merges, new BytePairOptions());
        WorkMeter meter = WorkMeter.ForText(1 << 20);
        List<int> ids = [];
        model.Encode(Encoding.UTF8.GetBytes(new string('a', 1 << 20)), dropUnknown: false, ids, meter);
        Assert.Equal(Enumerable.Repeat(10, 1 << 10), ids);
        Assert.InRange(meter.Steps, 1 << 20, 5 << 20);

        model.Encode("aaaaaaa"u8, dropUnknown: false, ids, meter);
        long before = meter.Steps;
        model.Encode("aaaaaaa"u8, dropUnknown: false, ids, meter);
        Assert.Equal(1, meter.Steps - before);
    }

    [Property(MaxTest = 200)]
    public void Unigram_finds_the_best_of_all_cuts(int seed)
    {
        Random random = new(seed);
        List<string> tokens = ["<unk>", "a", "b", "ab", "ba", "aab", "bb", "abab"];
        float[] scores = [float.NaN, .. tokens.Skip(1).Select(_ => -(float)random.NextDouble() * 10)];
        Unigram model = new(Tokens(tokens), scores, 0, byteFallback: false);
        string text = string.Concat(Enumerable.Range(0, 8).Select(_ => "ab"[random.Next(2)]));
        List<int> ids = Encode(model, text);
        Assert.Equal(text, string.Concat(ids.Select(id => tokens[id])));
        Assert.InRange(ids.Sum(id => (double)scores[id]) - Best(text.Length), -1e-9, 1e-9);

        double Best(int end) => end == 0 ? 0 : Enumerable.Range(1, tokens.Count - 1)
            .Where(id => text[..end].EndsWith(tokens[id], StringComparison.Ordinal)).Max(id => Best(end - tokens[id].Length) + scores[id]);
    }

    [Fact]
    public void Unigram_fuses_unknown_characters_or_falls_back_to_bytes()
    {
        Assert.Equal([1, 0, 1], Encode(new Unigram(Tokens("<unk>", "a"), [float.NaN, -1], 0, byteFallback: false), "aéüa"));
        string[] tokens = ["<unk>", "a", .. Enumerable.Range(0, 256).Select(SubwordModel.ByteTokenName)];
        float[] scores = [float.NaN, -1, .. Enumerable.Repeat(float.NaN, 256)];
        Assert.Equal([1, 2 + 0xC3, 2 + 0xA9], Encode(new Unigram(Tokens(tokens), scores, 0, byteFallback: true), "aé"));
        Assert.Throws<LowbitException>(() => new Unigram(Tokens("<unk>", "a"), [float.NaN, -1], 0, byteFallback: true));
    }
}
