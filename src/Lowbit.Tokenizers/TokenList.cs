using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Tokenizers;

/// <summary>The tokens as byte strings in one array. Ids may have gaps, which are empty.</summary>
internal sealed class TokenList
{
    /// <summary>More ids than any model has; a file that asks for more is damaged.</summary>
    public const int LargestSize = 1 << 22;

    private readonly byte[] _bytes;
    private readonly int[] _offsets; // token id: bytes _offsets[id] to _offsets[id + 1]

    /// <summary>Copies the tokens.</summary>
    /// <param name="tokens">By id; null for a gap.</param>
    public TokenList(IReadOnlyList<byte[]?> tokens)
    {
        long total = 0;
        foreach (byte[]? token in tokens) total += token?.Length ?? 0;
        if (tokens.Count > LargestSize || total > int.MaxValue / 2)
            throw new LowbitException($"the vocabulary has {tokens.Count} tokens of {total} bytes, more than any model has; get the file again.");
        _bytes = new byte[total];
        _offsets = new int[tokens.Count + 1];
        for (int id = 0; id < tokens.Count; id++)
        {
            _offsets[id + 1] = _offsets[id] + (tokens[id]?.Length ?? 0);
            tokens[id]?.CopyTo(_bytes, _offsets[id]);
        }
    }

    /// <summary>Number of ids, gaps included.</summary>
    public int Count => _offsets.Length - 1;

    /// <summary>The bytes of a token; empty for a gap.</summary>
    public ReadOnlySpan<byte> this[int id] => _bytes.AsSpan(_offsets[id], _offsets[id + 1] - _offsets[id]);
}
