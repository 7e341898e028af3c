using System;
using System.Buffers;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>A token that is found in the text as it stands, before the model sees anything.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
internal sealed record AddedToken(int Id, string Content)
{
    /// <summary>Part of a protocol rather than of a text; found only when special tokens are asked for.</summary>
    public bool IsSpecial { get; init; }

    /// <summary>Found in the normalized text rather than in the text as it was given.</summary>
    public bool InNormalizedText { get; init; }

    /// <summary>Its form in normalized text where that is known; null: what normalization makes of the content.</summary>
    public string? NormalizedContent { get; init; }

    /// <summary>Takes the white space before it.</summary>
    public bool TakesSpaceBefore { get; init; }

    /// <summary>Takes the white space after it.</summary>
    public bool TakesSpaceAfter { get; init; }

    /// <summary>Not found inside of a word.</summary>
    public bool IsWholeWord { get; init; }
}

/// <summary>Finds added tokens: the leftmost, and of those the longest.</summary>
internal sealed class AddedTokens
{
    private const int LongestContent = 1000; // bounds the work for each position

    private readonly Dictionary<int, AddedToken> _byId = [];
    private readonly Trie _trie = new();
    private readonly SearchValues<char> _firstCharacters;

    /// <summary>Creates the finder.</summary>
    /// <param name="tokens">What to find.</param>
    /// <param name="content">The text by which a token is found: its own, or that in normalized form.</param>
    public AddedTokens(IEnumerable<AddedToken> tokens, Func<AddedToken, string> content)
    {
        HashSet<char> first = [];
        foreach (AddedToken token in tokens)
        {
            string text = content(token);
            if (text.Length > LongestContent)
                throw new LowbitException($"the added token {token.Id} has {text.Length} characters where at most {LongestContent} are expected; get the tokenizer again.");
            if (text.Length == 0) continue;
            int node = Trie.Root;
            foreach (char letter in text) node = _trie.Grow(node, letter);
            _trie[node] = token.Id;
            _byId[token.Id] = token;
            first.Add(text[0]);
        }
        _firstCharacters = SearchValues.Create(first.ToArray());
    }

    /// <summary>The first token at or after a position, or null.</summary>
    /// <param name="text">Where to look.</param>
    /// <param name="from">First position.</param>
    /// <param name="withSpecial">Whether special tokens count.</param>
    /// <param name="start">Beginning of the match, with the white space that it takes.</param>
    /// <param name="end">End of the match, with the white space that it takes.</param>
    public AddedToken? Find(ReadOnlySpan<char> text, int from, bool withSpecial, out int start, out int end)
    {
        for (start = from; _byId.Count > 0 && start < text.Length; start++)
        {
            int skipped = text[start..].IndexOfAny(_firstCharacters);
            if (skipped < 0) break;
            start += skipped;
            AddedToken? found = null;
            end = start;
            for (int at = start, node = Trie.Root; at < text.Length && (node = _trie.Next(node, text[at])) >= 0;)
            {
                at++;
                if (!_byId.TryGetValue(_trie[node], out AddedToken? token) || (token.IsSpecial && !withSpecial)) continue;
                found = token;
                end = at;
            }
            if (found is null || (found.IsWholeWord && TouchesWord(text, start, end))) continue;
            while (found.TakesSpaceBefore && start > from && char.IsWhiteSpace(text[start - 1])) start--;
            while (found.TakesSpaceAfter && end < text.Length && char.IsWhiteSpace(text[end])) end++;
            return found;
        }
        end = -1;
        return null;
    }

    private static bool TouchesWord(ReadOnlySpan<char> text, int start, int end) =>
        (start > 0 && RuneClass.Word.Contains(text[start - 1])) || (end < text.Length && RuneClass.Word.Contains(text[end]));
}
