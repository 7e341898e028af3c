using System;
using System.Numerics;

namespace Lowbit.Tokenizers;

/// <summary>Which pairs of ids merge, when, and into what: open addressing, 16 bytes a slot.</summary>
internal sealed class MergeTable
{
    private const ulong Free = ulong.MaxValue; // no pair: ids are positive integers

    // Odd and drawn per process, so that a file cannot be made to collide.
    private static readonly ulong s_multiplier = (ulong)Random.Shared.NextInt64() << 1 | 1;

    private ulong[] _pairs = [];
    private (int Rank, int Id)[] _merges = [];
    private int _shift;

    /// <summary>Creates an empty table.</summary>
    /// <param name="capacity">How many pairs are expected; more make it grow.</param>
    public MergeTable(int capacity) => Resize((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(capacity, 4) * 4 / 3));

    /// <summary>Number of pairs.</summary>
    public int Count { get; private set; }

    /// <summary>Finds the merge of a pair.</summary>
    /// <param name="left">Id of the left token, not negative.</param>
    /// <param name="right">Id of the right token, not negative.</param>
    /// <param name="rank">The lowest rank merges first.</param>
    /// <param name="id">What it becomes.</param>
    public bool Find(int left, int right, out int rank, out int id)
    {
        ulong pair = Pair(left, right);
        int slot = Slot(pair);
        (rank, id) = _merges[slot];
        return _pairs[slot] == pair;
    }

    /// <summary>Adds a pair; one that is there already stays as it is.</summary>
    public void Add(int left, int right, int rank, int id)
    {
        ulong pair = Pair(left, right);
        int slot = Slot(pair);
        if (_pairs[slot] == pair) return;
        (_pairs[slot], _merges[slot]) = (pair, (rank, id));
        if (++Count > _pairs.Length / 4 * 3) Resize(_pairs.Length * 2);
    }

    private static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;

    private int Slot(ulong pair)
    {
        int slot = (int)((pair * s_multiplier) >> _shift);
        while (_pairs[slot] != Free && _pairs[slot] != pair) slot = (slot + 1) & (_pairs.Length - 1);
        return slot;
    }

    private void Resize(int size)
    {
        (ulong[] pairs, (int, int)[] merges) = (_pairs, _merges);
        _pairs = new ulong[size];
        _pairs.AsSpan().Fill(Free);
        _merges = new (int, int)[size];
        _shift = 64 - BitOperations.Log2((uint)size);
        for (int i = 0; i < pairs.Length; i++)
        {
            if (pairs[i] == Free) continue;
            int slot = Slot(pairs[i]);
            (_pairs[slot], _merges[slot]) = (pairs[i], merges[i]);
        }
    }
}
