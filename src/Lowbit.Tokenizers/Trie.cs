using System.Collections.Generic;

namespace Lowbit.Tokenizers;

/// <summary>A tree of sequences (of characters or of bytes) that share their beginnings; each end carries a value.</summary>
internal sealed class Trie
{
    private readonly Dictionary<long, int> _edges = [];
    private readonly List<int> _values = [-1];

    /// <summary>Where a walk begins.</summary>
    public const int Root = 0;

    /// <summary>The next node, or -1.</summary>
    public int Next(int node, int symbol) => _edges.TryGetValue(((long)node << 32) | (uint)symbol, out int next) ? next : -1;

    /// <summary>The value of the sequence that ends at a node, or -1.</summary>
    public int this[int node]
    {
        get => _values[node];
        set => _values[node] = value;
    }

    /// <summary>The next node, made when it is not there.</summary>
    public int Grow(int node, int symbol)
    {
        int next = Next(node, symbol);
        if (next >= 0) return next;
        _edges.Add(((long)node << 32) | (uint)symbol, _values.Count);
        _values.Add(-1);
        return _values.Count - 1;
    }
}
