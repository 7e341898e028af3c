using System;

namespace Lowbit.Tokenizers;

/// <summary>A binary heap of keys that gives the smallest first; half the memory of the general one, which matters for a word of a million symbols.</summary>
internal struct MinimumHeap(int capacity)
{
    private ulong[] _keys = new ulong[Math.Max(capacity, 4)];
    private int _count;

    /// <summary>Adds a key.</summary>
    public void Add(ulong key)
    {
        if (_count == _keys.Length) Array.Resize(ref _keys, _count * 2);
        int at = _count++;
        while (at > 0 && _keys[(at - 1) / 2] > key)
        {
            _keys[at] = _keys[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        _keys[at] = key;
    }

    /// <summary>Takes the smallest key.</summary>
    public bool TryTake(out ulong smallest)
    {
        if (_count == 0)
        {
            smallest = 0;
            return false;
        }
        smallest = _keys[0];
        ulong last = _keys[--_count];
        int at = 0;
        for (int child = 1; child < _count; child = 2 * at + 1)
        {
            if (child + 1 < _count && _keys[child + 1] < _keys[child]) child++;
            if (_keys[child] >= last) break;
            _keys[at] = _keys[child];
            at = child;
        }
        _keys[at] = last;
        return true;
    }
}
