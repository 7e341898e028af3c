using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Reads the integers of a chunk that <see cref="IntegerStream"/> has coded. Every integer depends on the one before it, so that a reader alone waits
/// most of the time; four of them side by side do not.
/// </summary>
internal unsafe struct ChunkReader
{
    private const int ShareBits = SpreadTables.ShareBits, RawBits = IntegerStream.RawBits;
    private const uint ShareMask = (1 << ShareBits) - 1, CountMask = ShareMask << 8;

    private readonly ushort* _end;
    private readonly long _stride;
    private ushort* _next;
    private byte* _rowClass;
    private sbyte* _values;
    private uint _state;

    /// <summary>Begins with the chunk's state.</summary>
    /// <param name="words">The chunk; <see cref="MostWords"/> can be read behind it.</param>
    /// <param name="length">Its words.</param>
    /// <param name="rowClasses">Classes of its rows.</param>
    /// <param name="values">Its first row.</param>
    /// <param name="stride">Integers from row to row.</param>
    public ChunkReader(ushort* words, int length, byte* rowClasses, sbyte* values, long stride)
    {
        _next = words + 2;
        _end = words + length;
        _rowClass = rowClasses;
        _values = values;
        _stride = stride;
        _state = (uint)words[0] << 16 | words[1];
    }

    /// <summary>Whether the integers so far took more words than there are, or no coder begins so.</summary>
    public readonly bool Overran => _next > _end || _state < IntegerStream.Lowest;

    /// <summary>Whether the integers took all words and left the state with which a coder begins.</summary>
    public readonly bool IsAtEnd => _next == _end && _state == IntegerStream.Lowest;

    /// <summary>Words that a row can take, and one more that is looked at.</summary>
    public static long MostWords(int columns) => 2L * columns + 3;

    /// <summary>Reads a row.</summary>
    /// <param name="columnClasses">[columns].</param>
    /// <param name="places">[columns] where each column goes in the row.</param>
    /// <param name="columns">Columns.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ReadRow(byte* columnClasses, int* places, int columns)
    {
        uint** slots = SpreadTables.Slots + *_rowClass;
        uint state = _state;
        ushort* next = _next;
        for (int c = 0; c < columns; c++) _values[places[c]] = Integer(ref state, ref next, slots[columnClasses[c]]);
        MoveOn(state, next);
    }

    /// <summary>Reads a row of each of four chunks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ReadRows(ref ChunkReader a, ref ChunkReader b, ref ChunkReader c, ref ChunkReader d, byte* columnClasses, int* places, int columns)
    {
        uint** slotsA = SpreadTables.Slots + *a._rowClass, slotsB = SpreadTables.Slots + *b._rowClass, slotsC = SpreadTables.Slots + *c._rowClass, slotsD = SpreadTables.Slots + *d._rowClass;
        sbyte* valuesA = a._values, valuesB = b._values, valuesC = c._values, valuesD = d._values;
        uint stateA = a._state, stateB = b._state, stateC = c._state, stateD = d._state;
        ushort* nextA = a._next, nextB = b._next, nextC = c._next, nextD = d._next;
        for (int i = 0; i < columns; i++)
        {
            nint columnClass = columnClasses[i], place = places[i];
            valuesA[place] = Integer(ref stateA, ref nextA, slotsA[columnClass]);
            valuesB[place] = Integer(ref stateB, ref nextB, slotsB[columnClass]);
            valuesC[place] = Integer(ref stateC, ref nextC, slotsC[columnClass]);
            valuesD[place] = Integer(ref stateD, ref nextD, slotsD[columnClass]);
        }
        a.MoveOn(stateA, nextA);
        b.MoveOn(stateB, nextB);
        c.MoveOn(stateC, nextC);
        d.MoveOn(stateD, nextD);
    }

    private void MoveOn(uint state, ushort* next)
    {
        _state = state;
        _next = next;
        _rowClass++;
        _values += _stride;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static sbyte Integer(ref uint state, ref ushort* next, uint* slots)
    {
        uint slot = slots[state & ShareMask];
        if ((slot & CountMask) == 0)
        {
            // By value: what a call is given by reference does not stay in registers.
            Escape escape = ReadEscape(state, next, slot);
            state = escape.State;
            next = escape.Next;
            return escape.Integer;
        }
        state = (slot >> 8 & ShareMask) * (state >> ShareBits) + (slot >> 20);
        Refill(ref state, ref next);
        return (sbyte)slot;
    }

    // The escape has all shares from its first one on.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Escape ReadEscape(uint state, ushort* next, uint slot)
    {
        uint share = state & ShareMask, before = slot >> 20;
        state = (ShareMask + 1 - share + before) * (state >> ShareBits) + before;
        Refill(ref state, ref next);
        share = state & ShareMask;
        state = ((state >> ShareBits) << ShareBits - RawBits) + (share & (1 << ShareBits - RawBits) - 1);
        Refill(ref state, ref next);
        return new Escape { State = state, Next = next, Integer = (sbyte)((int)(share >> ShareBits - RawBits) - 128) };
    }

    // A state below the lowest takes a word; without a jump, which could not be foretold.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Refill(ref uint state, ref ushort* next)
    {
        long isBelow = (long)state - IntegerStream.Lowest >> 63; // all ones or zeros
        state = state << (int)(isBelow & 16) | *next & (uint)isBelow;
        next -= isBelow;
    }

    // An integer in eight bits, and what follows it.
    private struct Escape
    {
        public uint State;
        public ushort* Next;
        public sbyte Integer;
    }
}
