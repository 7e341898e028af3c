using System;
using System.Collections.Generic;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>
/// Byte pair encoding: a word begins as its characters (or bytes), and of all neighbours that may be merged the pair with
/// the lowest rank is merged, the leftmost first, until none is left. A heap of pairs makes a word of n symbols cost O(n log n).
/// </summary>
internal sealed class BytePairEncoding : SubwordModel
{
    private const int LongestCachedWord = 128;

    private sealed record CachedWord(byte[] Bytes, int[] Ids);

    private readonly MergeTable _merges;
    private readonly BytePairOptions _options;
    private readonly int[] _byteTokens;
    private readonly bool _blankMarkBeginsWords;
    private readonly CachedWord?[] _cache = new CachedWord?[1 << 14]; // replaced entry by entry, so threads may share it

    /// <summary>Creates the model.</summary>
    /// <param name="vocabulary">The tokens; for byte-level models with the bytes that they stand for.</param>
    /// <param name="merges">Which pairs of ids merge, when, and into what.</param>
    /// <param name="options">The variant.</param>
    public BytePairEncoding(Vocabulary vocabulary, MergeTable merges, BytePairOptions options) : base(vocabulary)
    {
        _merges = merges;
        _options = options;
        _byteTokens = FindByteTokens();
        if (options.ByteLevel)
        {
            for (int value = 0; value < 256; value++) _byteTokens[value] = vocabulary.Find([(byte)value]);
        }
        _blankMarkBeginsWords = !options.ByteLevel && !options.WholeWords && vocabulary.Find("\u2581"u8) >= 0 && NoTokenCrossesAWord(vocabulary);
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<byte> piece, bool dropUnknown, List<int> ids, WorkMeter meter)
    {
        // Where no token has a blank mark after another character, no merge can cross such a place: a text that comes
        // as one piece falls into words, which the cache knows.
        while (_blankMarkBeginsWords && NextWord(piece) is int end && end < piece.Length)
        {
            EncodeWord(piece[..end], dropUnknown, ids, meter);
            piece = piece[end..];
        }
        EncodeWord(piece, dropUnknown, ids, meter);
    }

    private void EncodeWord(ReadOnlySpan<byte> word, bool dropUnknown, List<int> ids, WorkMeter meter)
    {
        if (word.IsEmpty) return;
        if (word.Length > LongestCachedWord)
        {
            Merge(word, dropUnknown, ids, meter);
            return;
        }
        HashCode hash = default;
        hash.AddBytes(word);
        ref CachedWord? slot = ref _cache[hash.ToHashCode() & (_cache.Length - 1)];
        CachedWord? cached = slot;
        if (cached is null || !cached.Bytes.AsSpan().SequenceEqual(word))
        {
            List<int> fresh = [];
            bool known = Merge(word, dropUnknown, fresh, meter);
            cached = new CachedWord(word.ToArray(), [.. fresh]);
            if (known) slot = cached; // what becomes of the unknown is not the same every time
        }
        ids.AddRange(cached.Ids);
        meter.Add(1);
    }

    /// <returns>Whether the vocabulary has all of the word.</returns>
    private bool Merge(ReadOnlySpan<byte> word, bool dropUnknown, List<int> ids, WorkMeter meter)
    {
        if (_options.WholeWords && Vocabulary.Find(word) is >= 0 and int whole)
        {
            ids.Add(whole);
            return true;
        }
        List<int> symbols = [];
        bool known = _options.ByteLevel ? AddBytes(word, dropUnknown, symbols) : AddCharacters(word, dropUnknown, symbols);
        if (symbols.Count > 1) MergeSymbols(symbols, meter);
        foreach (int symbol in symbols)
        {
            if (symbol >= 0) ids.Add(symbol);
        }
        return known;
    }

    /// <summary>Merges in place; symbols merged away become -1.</summary>
    private void MergeSymbols(List<int> symbols, WorkMeter meter)
    {
        int[] next = new int[symbols.Count], previous = new int[symbols.Count];
        MinimumHeap pairs = new(symbols.Count); // rank above position of the left one
        for (int i = 0; i < symbols.Count; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
        }
        for (int i = 0; i < symbols.Count; i++) Offer(i);
        long steps = symbols.Count;
        while (pairs.TryTake(out ulong key))
        {
            steps++;
            int left = (int)(uint)key, right = next[left];
            // An entry is stale when a merge took one of its symbols; the pair that stands there now has its own entry.
            if (symbols[left] < 0 || right >= symbols.Count) continue;
            if (!_merges.Find(symbols[left], symbols[right], out int rank, out int id) || (uint)rank != key >> 32) continue;
            symbols[left] = id;
            symbols[right] = -1;
            next[left] = next[right];
            if (next[left] < symbols.Count) previous[next[left]] = left;
            Offer(left);
            if (previous[left] >= 0) Offer(previous[left]);
        }
        meter.Add(steps);

        void Offer(int left)
        {
            int right = next[left];
            if (right < symbols.Count && _merges.Find(symbols[left], symbols[right], out int rank, out _)) pairs.Add(((ulong)(uint)rank << 32) | (uint)left);
        }
    }

    private bool AddBytes(ReadOnlySpan<byte> word, bool dropUnknown, List<int> symbols)
    {
        bool known = true;
        foreach (byte value in word)
        {
            if (_byteTokens[value] >= 0) symbols.Add(_byteTokens[value]);
            else known = AddUnknown(symbols, dropUnknown);
        }
        return known;
    }

    private bool AddCharacters(ReadOnlySpan<byte> word, bool dropUnknown, List<int> symbols)
    {
        bool known = true;
        while (!word.IsEmpty)
        {
            int length = Math.Min(CharacterLength(word[0]), word.Length);
            if (Vocabulary.Find(word[..length]) is >= 0 and int id) symbols.Add(id);
            else if (!_options.ByteFallback || !AddByteTokens(word[..length], symbols)) known = AddUnknown(symbols, dropUnknown);
            word = word[length..];
        }
        return known;
    }

    private bool AddByteTokens(ReadOnlySpan<byte> character, List<int> symbols)
    {
        foreach (byte value in character)
        {
            if (_byteTokens[value] < 0) return false;
        }
        foreach (byte value in character) symbols.Add(_byteTokens[value]);
        return true;
    }

    private bool AddUnknown(List<int> symbols, bool drop)
    {
        // Without an unknown token it is dropped too, as in Hugging Face tokenizers.
        if (!drop && _options.UnknownId is int unknown && !(_options.FuseUnknown && symbols.Count > 0 && symbols[^1] == unknown)) symbols.Add(unknown);
        return false;
    }

    /// <summary>Where the second word begins: at the first blank mark after another character.</summary>
    private static int NextWord(ReadOnlySpan<byte> piece)
    {
        int start = 0;
        while (piece[start..].StartsWith("\u2581"u8)) start += 3;
        int mark = piece[start..].IndexOf("\u2581"u8);
        return mark < 0 ? piece.Length : start + mark;
    }

    private static bool NoTokenCrossesAWord(Vocabulary vocabulary)
    {
        for (int id = 0; id < vocabulary.Count; id++)
        {
            if (NextWord(vocabulary[id]) < vocabulary[id].Length) return false;
        }
        return true;
    }
}

/// <summary>The variants of byte pair encoding.</summary>
internal sealed record BytePairOptions
{
    /// <summary>Symbols are bytes; otherwise characters.</summary>
    public bool ByteLevel { get; init; }

    /// <summary>A word that is a token stays whole, whatever the merges say (<c>ignore_merges</c>).</summary>
    public bool WholeWords { get; init; }

    /// <summary>A character without token becomes the tokens of its bytes.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>The token of what has none; null to drop it.</summary>
    public int? UnknownId { get; init; }

    /// <summary>Neighbouring unknown characters become one unknown token.</summary>
    public bool FuseUnknown { get; init; }
}
