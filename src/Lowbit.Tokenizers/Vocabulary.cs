using System;
using System.Collections.Generic;
using System.Numerics;

namespace Lowbit.Tokenizers;

/// <summary>The tokens, and the way from bytes to the id.</summary>
internal sealed class Vocabulary
{
    private readonly int[] _slots; // open addressing; 0 is free, otherwise id + 1

    /// <summary>Creates the table.</summary>
    /// <param name="tokens">By id; null for a gap. Of equal tokens the one with the lowest id is found.</param>
    public Vocabulary(IReadOnlyList<byte[]?> tokens)
    {
        Tokens = new TokenList(tokens);
        _slots = new int[(int)BitOperations.RoundUpToPowerOf2((uint)Count * 2 + 2)];
        for (int id = 0; id < Count; id++)
        {
            ReadOnlySpan<byte> token = this[id];
            if (token.IsEmpty) continue;
            LongestToken = Math.Max(LongestToken, token.Length);
            int slot = Slot(token);
            if (_slots[slot] == 0) _slots[slot] = id + 1;
        }
    }

    /// <summary>The tokens by id.</summary>
    public TokenList Tokens { get; }

    /// <summary>Number of ids, gaps included.</summary>
    public int Count => Tokens.Count;

    /// <summary>Bytes of the longest token.</summary>
    public int LongestToken { get; }

    /// <summary>The bytes of a token; empty for a gap.</summary>
    public ReadOnlySpan<byte> this[int id] => Tokens[id];

    /// <summary>The id of a token, or -1.</summary>
    public int Find(ReadOnlySpan<byte> token) => _slots[Slot(token)] - 1;

    private int Slot(ReadOnlySpan<byte> token)
    {
        HashCode hash = default; // seeded per process: a file cannot be made to collide
        hash.AddBytes(token);
        int mask = _slots.Length - 1;
        int slot = hash.ToHashCode() & mask;
        while (_slots[slot] != 0 && !this[_slots[slot] - 1].SequenceEqual(token)) slot = (slot + 1) & mask;
        return slot;
    }
}
