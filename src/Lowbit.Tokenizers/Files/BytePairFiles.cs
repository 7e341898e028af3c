using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>Vocabulary and merges of byte pair encodings: inside of <c>tokenizer.json</c>, or GPT-2's two files.</summary>
internal static class BytePairFiles
{
    private const int LargestFile = 1 << 28;

    /// <summary>Reads GPT-2's <c>vocab.json</c> and <c>merges.txt</c>.</summary>
    /// <exception cref="LowbitException">A file is missing or damaged.</exception>
    public static TokenizerParts ReadGpt2(string vocabularyFile, string mergesFile)
    {
        JsonValue root = JsonValue.Read(vocabularyFile);
        Vocabulary vocabulary = ReadVocabulary(root, byteLevel: true);
        string[] lines = Encoding.UTF8.GetString(WholeFile.Read(mergesFile, LargestFile)).Split('\n');
        IEnumerable<string> merges = lines.Select(line => line.TrimEnd('\r')).Where(line => line.Length > 0 && !line.StartsWith("#version", StringComparison.Ordinal));
        List<AddedToken> special = [];
        if (vocabulary.Find("<|endoftext|>"u8) is >= 0 and int end) special.Add(new AddedToken(end, "<|endoftext|>") { IsSpecial = true });
        return new TokenizerParts
        {
            Name = vocabularyFile,
            Model = new BytePairEncoding(vocabulary, Merges(merges.Select(SplitMerge), vocabulary, byteLevel: true, mergesFile), new BytePairOptions { ByteLevel = true }),
            PreTokenization = [PreTokenization.Split(PreTokenization.Gpt2Pattern)],
            Added = special,
            Decoder = new TokenDecoder { ByteLevel = true },
            BeginId = special.Count > 0 ? special[0].Id : null,
            EndIds = special.Count > 0 ? [special[0].Id] : [],
        };
    }

    /// <summary>Reads an object of tokens and ids.</summary>
    public static Vocabulary ReadVocabulary(JsonValue tokens, bool byteLevel)
    {
        if (!tokens.Exists) throw tokens.Bad("an object of tokens");
        List<byte[]?> byId = [];
        foreach ((string name, JsonValue value) in tokens.Members())
        {
            int id = value.Id();
            while (byId.Count <= id) byId.Add(null);
            byId[id] = Bytes(name, byteLevel);
        }
        return new Vocabulary(byId);
    }

    /// <summary>Reads an array of merges, each a string with a blank or a pair of strings.</summary>
    public static MergeTable ReadMerges(JsonValue merges, Vocabulary vocabulary, bool byteLevel) =>
        Merges(merges.Items().Select(PairOf), vocabulary, byteLevel, merges.File);

    /// <summary>Splits «left right».</summary>
    public static (string Left, string Right) SplitMerge(string merge)
    {
        int blank = merge.Length < 2 ? -1 : merge.IndexOf(' ', 1); // the left one may itself be a blank
        return blank < 0 ? (merge, "") : (merge[..blank], merge[(blank + 1)..]);
    }

    /// <summary>Makes the table of merges; the rank is the place in the list.</summary>
    public static MergeTable Merges(IEnumerable<(string Left, string Right)> merges, Vocabulary vocabulary, bool byteLevel, string file)
    {
        MergeTable table = new(vocabulary.Count);
        int rank = 0;
        foreach ((string left, string right) in merges)
        {
            byte[] leftBytes = Bytes(left, byteLevel), rightBytes = Bytes(right, byteLevel);
            int leftId = vocabulary.Find(leftBytes), rightId = vocabulary.Find(rightBytes), id = vocabulary.Find([.. leftBytes, .. rightBytes]);
            if (leftId < 0 || rightId < 0 || id < 0)
                throw new LowbitFormatException(file, $"merge {rank} («{left}» and «{right}») needs a token that the vocabulary does not have; get the file again.");
            table.Add(leftId, rightId, rank++, id);
        }
        return table;
    }

    private static (string Left, string Right) PairOf(JsonValue merge)
    {
        if (merge.Element.ValueKind == System.Text.Json.JsonValueKind.String) return SplitMerge(merge.Text());
        JsonValue[] pair = [.. merge.Items()];
        return pair.Length == 2 ? (pair[0].Text(), pair[1].Text()) : throw merge.Bad("a pair of tokens");
    }

    private static byte[] Bytes(string token, bool byteLevel) => byteLevel ? ByteAlphabet.Bytes(token) : Encoding.UTF8.GetBytes(token);
}
