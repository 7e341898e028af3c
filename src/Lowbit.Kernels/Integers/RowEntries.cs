using System;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// What the forms of a row's chunks leave out, while it is written: an entry for each 1 by which an integer is larger or smaller, and in a list of
/// their own for each <see cref="Large"/>. An entry is the columns since the one before, or <see cref="Jump"/>, which goes on so many columns and
/// changes nothing; with <see cref="Negative"/> the integer is smaller.
/// </summary>
/// <param name="ones">Memory for the entries.</param>
/// <param name="larges">Memory for those of <see cref="Large"/>.</param>
/// <param name="room">Entries that each of them holds.</param>
internal unsafe struct RowEntries(ushort* ones, ushort* larges, int room)
{
    /// <summary>Columns that an entry goes on at most, then without an integer. Fills up rows that have no more.</summary>
    public const byte Jump = 0xFF;

    /// <summary>Added to an entry that makes an integer smaller.</summary>
    public const ushort Negative = 0x8000;

    /// <summary>What an entry of the second list is worth.</summary>
    public const int Large = 1 << LargeShift;

    /// <summary>The logarithm of <see cref="Large"/>.</summary>
    public const int LargeShift = 4;

    private List _ones = new() { Next = ones, Left = room }, _larges = new() { Next = larges, Left = room };

    /// <summary>Number of entries that are worth 1.</summary>
    public readonly int Ones => room - _ones.Left;

    /// <summary>Number of entries that are worth <see cref="Large"/>.</summary>
    public readonly int Larges => room - _larges.Left;

    /// <summary>Whether there was no room for an entry.</summary>
    public readonly bool Overflowed => _ones.Left < 0 || _larges.Left < 0;

    /// <summary>Adds the entries of an integer.</summary>
    /// <param name="column">Its column, not before the last one.</param>
    /// <param name="difference">The integer less what the form makes of it.</param>
    public void Add(int column, int difference)
    {
        if (difference == 0) return;
        int larges = (difference + Large / 2) >> LargeShift;
        _ones.Add(column, difference - Large * larges);
        _larges.Add(column, larges);
    }

    private struct List
    {
        public ushort* Next;
        public int Left;
        private int _column; // of the last entry

        public void Add(int column, int times)
        {
            if (times == 0) return;
            for (; column - _column >= Jump; _column += Jump) Put(Jump);
            for (int n = Math.Abs(times); n > 0; n--)
            {
                Put((ushort)(column - _column | (times < 0 ? Negative : 0)));
                _column = column;
            }
        }

        private void Put(ushort entry)
        {
            if (--Left >= 0) *Next++ = entry;
        }
    }
}
