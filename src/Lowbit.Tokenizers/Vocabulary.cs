using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Tokenizers;

/// <summary>The tokens as byte strings in one array, and the way from bytes to the id. Ids may have gaps, which are empty.</summary>
internal sealed class Vocabulary
{
    /// <summary>More ids than any model has; a file that asks for more is damaged.</summary>
    public const int LargestSize = 1 << 22;

    private readonly byte[] _bytes;
    private readonly int[] _offsets; // token id: bytes _offsets[id] to _offsets[id + 1]
    private readonly int[] _slots;   // open addressing; 0 is free, otherwise id + 1

    /// <summary>Creates the table.</summary>
    /// <param name="tokens">By id; null for a gap. Of equal tokens the one with the lowest id is found.</param>
    public Vocabulary(IReadOnlyList<byte[]?> tokens)
    {
        long total = 0;
        foreach (byte[]? token in tokens) total += token?.Length ?? 0;
        if (tokens.Count > LargestSize || total > int.MaxValue / 2)
            throw new LowbitException($"the vocabulary has {tokens.Count} tokens of {total} bytes, more than any model has; get the file again.");
        _bytes = new byte[total];
        _offsets = new int[tokens.Count + 1];
        _slots = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)tokens.Count * 2 + 2)];
        for (int id = 0; id < tokens.Count; id++)
        {
            _offsets[id + 1] = _offsets[id] + (tokens[id]?.Length ?? 0);
            if (tokens[id] is not { Length: > 0 } token) continue;
            token.CopyTo(_bytes, _offsets[id]);
            LongestToken = Math.Max(LongestToken, token.Length);
            int slot = Slot(token);
            if (_slots[slot] == 0) _slots[slot] = id + 1;
        }
    }

    /// <summary>Number of ids, gaps included.</summary>
    public int Count => _offsets.Length - 1;

    /// <summary>Bytes of the longest token.</summary>
    public int LongestToken { get; }

    /// <summary>The bytes of a token; empty for a gap.</summary>
    public ReadOnlySpan<byte> this[int id] => _bytes.AsSpan(_offsets[id], _offsets[id + 1] - _offsets[id]);

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
