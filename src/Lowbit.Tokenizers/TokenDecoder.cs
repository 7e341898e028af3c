using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lowbit.Tokenizers;

/// <summary>How the bytes of tokens become the bytes of text.</summary>
internal sealed record TokenDecoder
{
    /// <summary>Tokens are bytes already; otherwise the changes below apply.</summary>
    public bool ByteLevel { get; init; }

    /// <summary>Texts inside of tokens that stand for others, such as the blank mark for a blank.</summary>
    public IReadOnlyList<(string From, string To)> Replacements { get; init; } = [];

    /// <summary>The token <c>&lt;0x0A&gt;</c> stands for a byte.</summary>
    public bool ByteTokens { get; init; }

    /// <summary>Blanks dropped at the beginning of the text, or after the begin token.</summary>
    public int LeadingBlanks { get; init; }

    /// <summary>The leading blanks are dropped only after the begin token, not wherever decoding begins.</summary>
    public bool OnlyAfterBegin { get; init; }

    /// <summary>The bytes that a token of the vocabulary writes.</summary>
    public byte[] Bytes(ReadOnlySpan<byte> token)
    {
        if (ByteLevel) return token.ToArray();
        if (ByteTokens && token.Length == 6 && token.StartsWith("<0x"u8) && token[5] == '>'
            && byte.TryParse(token[3..5], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
        {
            return [value];
        }
        if (Replacements.Count == 0) return token.ToArray();
        string text = Encoding.UTF8.GetString(token);
        foreach ((string from, string to) in Replacements) text = text.Replace(from, to, StringComparison.Ordinal);
        return Encoding.UTF8.GetBytes(text);
    }
}
