using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>What the ids write: all that decoding needs, without the tables of encoding, which take most of a tokenizer's memory.</summary>
internal sealed class TokenText
{
    private readonly TokenList _tokens;
    private readonly IReadOnlyList<NormalizationStep> _normalization;

    public TokenText(TokenizerParts parts)
    {
        _tokens = parts.Model.Vocabulary.Tokens;
        _normalization = parts.Normalization;
        Decoder = parts.Decoder;
        foreach (AddedToken token in parts.Added) Added[token.Id] = token;
        VocabularySize = Math.Max(_tokens.Count, Added.Count == 0 ? 0 : Added.Keys.Max() + 1);
        if (VocabularySize > TokenList.LargestSize)
            throw new LowbitException($"{parts.Name}: an added token has the id {VocabularySize - 1}, more than any model has; get the file again.");
        BeginId = Known(parts.BeginId);
    }

    /// <summary>The added tokens by id.</summary>
    public Dictionary<int, AddedToken> Added { get; } = [];

    public TokenDecoder Decoder { get; }

    /// <summary>Number of ids, gaps included.</summary>
    public int VocabularySize { get; }

    public int? BeginId { get; }

    /// <summary>The id, or null if it is none of the vocabulary.</summary>
    public int? Known(int? id) => id >= 0 && id < VocabularySize ? id : null;

    public bool IsSpecial(int id) => Added.TryGetValue(id, out AddedToken? token) && token.IsSpecial;

    /// <summary>The exact bytes that a token writes.</summary>
    public byte[] Bytes(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        if (!Added.TryGetValue(id, out AddedToken? token)) return id < _tokens.Count ? Decoder.Bytes(_tokens[id]) : [];
        // Hugging Face tokenizers write an added token that is found in normalized text in its normalized form.
        return Decoder.Bytes(Encoding.UTF8.GetBytes(token.InNormalizedText ? NormalizedContent(token) : token.Content));
    }

    public string NormalizedContent(AddedToken token) => token.NormalizedContent ?? Normalize(token.Content, WorkMeter.ForText(token.Content.Length));

    public string Normalize(string text, WorkMeter meter)
    {
        foreach (NormalizationStep step in _normalization) text = step(text, meter);
        return text;
    }
}
