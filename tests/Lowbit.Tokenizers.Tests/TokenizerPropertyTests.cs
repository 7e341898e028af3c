using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Lowbit.TestKit;
using Lowbit.Tokenizers.Patterns;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

public sealed class TokenizerPropertyTests
{
    private static readonly Lazy<Tokenizer> s_handmade = new(() =>
    {
        using Handmade files = new();
        return Tokenizer.Load(files.Write("tokenizer.json", Handmade.ByteLevelJson()));
    });

    private static readonly string[] s_parts =
        ["hello world", "he", "ll", " ", "  ", "\n", "\r\n", "\t", "1234", "½", "don't", "I'LL", "...", "é", "e\u0301", "日本語", "한국어", "🦙", "👩‍👧", "𝕌", "<tool>", "<|begin|>", "\0", "\u00A0", "«", "Ä", "x"];

    // Planes above 3 are empty, and some vocabularies do not even have their bytes.
    private static readonly Gen<string> s_texts = Gen.OneOf(
        Gen.Elements(s_parts).ListOf().Select(string.Concat),
        Gen.Choose(1, 0x3FFFF).Where(Rune.IsValid).Select(char.ConvertFromUtf32).ListOf().Select(string.Concat));

    private static void RoundTrips(Tokenizer tokenizer, string text)
    {
        List<int> ids = tokenizer.Encode(text, addSpecial: false, parseSpecial: true);
        Assert.Equal(text, tokenizer.Decode([.. ids], skipSpecial: false));
        Assert.Equal(Encoding.UTF8.GetBytes(text), ids.SelectMany(id => tokenizer.TokenBytes(id).ToArray()));
        Assert.Equal(tokenizer.Encode(text, addSpecial: false), tokenizer.Encode(text)[1..^1]);
    }

    [Property(MaxTest = 500)]
    public Property Byte_level_tokenizers_lose_nothing() => Prop.ForAll(s_texts.ToArbitrary(), text => RoundTrips(s_handmade.Value, text));

    /// <summary>The real families without normalization; the others lose what NFC changes.</summary>
    [SharedFact]
    public void Real_byte_level_tokenizers_lose_nothing()
    {
        foreach (string family in new[] { "gpt2", "llama3", "smollm", "deepseek-llm", "deepseek-coder", "starcoder", "mpt" })
        {
            Tokenizer tokenizer = Families.Get(family);
            Prop.ForAll(s_texts.ToArbitrary(), text => Assert.Equal(text, tokenizer.Decode([.. tokenizer.Encode(text, addSpecial: false)], skipSpecial: false))).Check(Config.QuickThrowOnFailure.WithQuietOnSuccess(true));
        }
    }

    /// <summary>SentencePiece families keep everything too, since they fall back to bytes and only the added blank is dropped.</summary>
    [SharedFact]
    public void Real_SentencePiece_tokenizers_lose_nothing()
    {
        foreach (string family in new[] { "llama2", "llama-spm", "baichuan" })
        {
            Tokenizer tokenizer = Families.Get(family);
            // The blank mark itself is the one character that cannot come back.
            Prop.ForAll(s_texts.Where(text => !text.Contains('\u2581')).ToArbitrary(),
                text => Assert.Equal(text, tokenizer.Decode([.. tokenizer.Encode(text, addSpecial: false)], skipSpecial: false))).Check(Config.QuickThrowOnFailure.WithQuietOnSuccess(true));
        }
    }

    private static void DecodesPieceByPiece(Tokenizer tokenizer, int seed)
    {
        Random random = new(seed);
        int[] ids = [.. Enumerable.Range(0, random.Next(30)).Select(_ => random.Next(4) == 0 ? random.Next(Math.Min(300, tokenizer.VocabularySize)) : random.Next(tokenizer.VocabularySize))];
        bool skipSpecial = random.Next(2) == 0, continues = random.Next(2) == 0;
        IncrementalDecoder decoder = tokenizer.CreateDecoder(skipSpecial, continues);
        List<string> pieces = [.. ids.Select(decoder.Next), decoder.Flush()];
        Assert.All(pieces, piece => Assert.True(piece.Length == 0 || (!char.IsLowSurrogate(piece[0]) && !char.IsHighSurrogate(piece[^1]))));
        Assert.Equal(tokenizer.Decode(ids, skipSpecial, continues), string.Concat(pieces));
        if (!continues) return;
        byte[] bytes = [.. ids.Where(id => !skipSpecial || !tokenizer.IsSpecial(id)).SelectMany(id => tokenizer.TokenBytes(id).ToArray())];
        if (tokenizer.BeginId is int begin && ids.Contains(begin)) return; // llama2.c drops the blank behind it
        Assert.Equal(Encoding.UTF8.GetString(bytes), string.Concat(pieces));
    }

    [Property(MaxTest = 500)]
    public void Decoding_piece_by_piece_is_decoding(int seed) => DecodesPieceByPiece(s_handmade.Value, seed);

    [SharedFact]
    public void Decoding_piece_by_piece_is_decoding_for_real_tokenizers()
    {
        foreach (string family in Families.Names.Append("stories260K"))
        {
            for (int seed = 0; seed < 300; seed++) DecodesPieceByPiece(Families.Get(family), seed);
        }
    }

    [Fact]
    public void A_character_comes_whole_with_its_last_token()
    {
        IncrementalDecoder decoder = s_handmade.Value.CreateDecoder();
        Assert.Equal(["", "", "", "🦙", "", "", "\uFFFDa", ""], new[] { 0xF0, 0x9F, 0xA6, 0x99, 0xF0, 0x9F, 'a' }.Select(decoder.Next).Append(decoder.Flush()));
        decoder.Next(0xE2);
        Assert.Equal("\uFFFD", decoder.Flush());
    }

    /// <summary>Work, not time: for every family and every kind of run, at most so many steps for each character.</summary>
    [SharedTheory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\n")]
    [InlineData("7")]
    [InlineData("é")]
    [InlineData("▁")]
    [InlineData("<")]
    [InlineData("<|im_end|")]
    [InlineData("word word ")]
    public void Hostile_runs_cost_linear_work(string run)
    {
        string text = string.Concat(Enumerable.Repeat(run, 200_000 / run.Length)) + "x";
        foreach (string family in Families.Names.Append("stories260K").Append("deepseek-llm"))
        {
            WorkMeter meter = WorkMeter.ForText(text.Length);
            Families.Get(family).Encode(text, true, true, false, meter);
            Assert.True(meter.Steps < 100L * text.Length, $"{family}: {meter.Steps} steps for {text.Length} characters");
        }
    }

    [SharedFact]
    public void Threads_share_a_tokenizer()
    {
        Tokenizer tokenizer = Families.Get("gpt2");
        string text = string.Concat(Enumerable.Range(0, 3000).Select(i => $"word{i} number {i * 7919} "));
        List<int> expected = tokenizer.Encode(text);
        Assert.All(Enumerable.Range(0, 8).AsParallel().Select(_ => tokenizer.Encode(text)).ToArray(), ids => Assert.Equal(expected, ids));
    }
}
