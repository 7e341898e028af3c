using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Reads the integers of a chunk that <see cref="IntegerStream"/> has coded, eight rows at a time. An integer depends on the one before it in its
/// row alone, so the rows are lanes of a vector; and four chunks side by side do not wait for what they look up.
/// </summary>
internal unsafe struct ChunkReader
{
    /// <summary>Rows that are read at a time.</summary>
    public const int Rows = IntegerStream.Lanes;

    private const int ShareBits = SpreadTables.ShareBits, Shares = 1 << ShareBits, RawBits = IntegerStream.RawBits;
    private const uint ShareMask = Shares - 1;

    // [256, 8] for each set of rows that take a word which of the next words a row takes.
    private static readonly byte[] s_wordOfRow = MakeWordOfRow();

    private readonly ushort* _end;
    private ushort* _next;
    private byte* _rowClasses;
    private States _states;

    /// <summary>Begins with the states of the chunk's first eight rows, which their successors go on with.</summary>
    /// <param name="words">The chunk; <see cref="MostWords"/> can be read behind it.</param>
    /// <param name="length">Its words.</param>
    /// <param name="rowClasses">Classes of its rows, a multiple of eight.</param>
    public ChunkReader(ushort* words, int length, byte* rowClasses)
    {
        for (int row = 0; row < Rows; row++) _states[row] = (uint)words[2 * row] << 16 | words[2 * row + 1];
        _next = words + 2 * Rows;
        _end = words + length;
        _rowClasses = rowClasses;
    }

    /// <summary>Whether vectors read four chunks at once.</summary>
    public static bool HasVectors => Avx2.IsSupported && VectorLimit.Bits >= 256;

    /// <summary>Whether the integers so far took more words than there are.</summary>
    public readonly bool Overran => _next > _end;

    /// <summary>Whether the integers took all words and left the states with which a coder begins.</summary>
    public readonly bool IsAtEnd => _next == _end && !((ReadOnlySpan<uint>)_states).ContainsAnyExcept(IntegerStream.Lowest);

    /// <summary>Words that eight rows can take, and those that are looked at besides.</summary>
    public static long MostWords(int columns) => Rows * (2L * columns + 3);

    /// <summary>Reads eight rows.</summary>
    /// <param name="columnClasses">[columns].</param>
    /// <param name="places">[columns] where each column goes.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="integers">[places, 8] overwritten.</param>
    public void ReadRows(byte* columnClasses, int* places, int columns, sbyte* integers)
    {
        for (int c = 0; c < columns; c++) ReadColumn(columnClasses[c], integers + (nint)Rows * places[c]);
        _rowClasses += Rows;
    }

    /// <summary>Reads eight rows of each of four chunks with vectors.</summary>
    /// <param name="readers">[4].</param>
    /// <param name="columnClasses">[columns].</param>
    /// <param name="places">[columns] where each column goes.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="integers">[4, stride] of each chunk [places, 8], overwritten.</param>
    /// <param name="stride">Bytes from chunk to chunk.</param>
    public static void ReadRowsOfFour(ChunkReader* readers, byte* columnClasses, int* places, int columns, sbyte* integers, nint stride)
    {
        for (int c = 0; (c = ReadToEscape(readers, columnClasses, places, c, columns, integers, stride)) < columns; c++)
            for (int i = 0; i < 4; i++) readers[i].ReadColumn(columnClasses[c], integers + i * stride + (nint)Rows * places[c]);
        for (int i = 0; i < 4; i++) readers[i]._rowClasses += Rows;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ReadColumn(byte columnClass, sbyte* integers)
    {
        for (int row = 0; row < Rows; row++)
        {
            ref uint state = ref _states[row];
            uint slot = SpreadTables.Slots[Shares * (_rowClasses[row] + columnClass) + (int)(state & ShareMask)];
            integers[row] = Integer(ref state, ref _next, slot);
        }
    }

    // From a column on up to one with an integer that has been written in eight bits, which is left. By itself, so that states stay in registers.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static int ReadToEscape(ChunkReader* readers, byte* columnClasses, int* places, int column, int columns, sbyte* integers, nint stride)
    {
        byte* wordOfRow = (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(s_wordOfRow, 0);
        uint* allSlots = SpreadTables.Slots;
        Vector256<uint> state0 = readers[0].State, state1 = readers[1].State, state2 = readers[2].State, state3 = readers[3].State;
        Vector256<int> tables0 = readers[0].Tables, tables1 = readers[1].Tables, tables2 = readers[2].Tables, tables3 = readers[3].Tables;
        ushort* next0 = readers[0]._next, next1 = readers[1]._next, next2 = readers[2]._next, next3 = readers[3]._next;
        Vector256<uint> mask = Vector256.Create(ShareMask);
        for (; column < columns; column++)
        {
            uint* slots = allSlots + (nint)Shares * columnClasses[column];
            Vector256<uint> slot0 = Avx2.GatherVector256(slots, (state0 & mask).AsInt32() + tables0, sizeof(uint)), slot1 = Avx2.GatherVector256(slots, (state1 & mask).AsInt32() + tables1, sizeof(uint));
            Vector256<uint> slot2 = Avx2.GatherVector256(slots, (state2 & mask).AsInt32() + tables2, sizeof(uint)), slot3 = Avx2.GatherVector256(slots, (state3 & mask).AsInt32() + tables3, sizeof(uint));
            Vector256<uint> shares0 = Vector256.ShiftRightLogical(slot0, 8) & mask, shares1 = Vector256.ShiftRightLogical(slot1, 8) & mask;
            Vector256<uint> shares2 = Vector256.ShiftRightLogical(slot2, 8) & mask, shares3 = Vector256.ShiftRightLogical(slot3, 8) & mask;
            if (Vector256.EqualsAny(Vector256.Min(Vector256.Min(shares0, shares1), Vector256.Min(shares2, shares3)), Vector256<uint>.Zero)) break;
            sbyte* target = integers + (nint)Rows * places[column];
            Advance(ref state0, ref next0, slot0, shares0, wordOfRow, target);
            Advance(ref state1, ref next1, slot1, shares1, wordOfRow, target + stride);
            Advance(ref state2, ref next2, slot2, shares2, wordOfRow, target + 2 * stride);
            Advance(ref state3, ref next3, slot3, shares3, wordOfRow, target + 3 * stride);
        }
        readers[0].Store(state0, next0);
        readers[1].Store(state1, next1);
        readers[2].Store(state2, next2);
        readers[3].Store(state3, next3);
        return column;
    }

    private readonly Vector256<uint> State => Vector256.Create<uint>(_states);

    // Where the tables of the rows begin.
    private readonly Vector256<int> Tables => Vector256.ShiftLeft(Avx2.ConvertToVector256Int32(_rowClasses), ShareBits);

    private void Store(Vector256<uint> state, ushort* next)
    {
        state.CopyTo(_states);
        _next = next;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Advance(ref Vector256<uint> state, ref ushort* next, Vector256<uint> slot, Vector256<uint> shares, byte* wordOfRow, sbyte* integers)
    {
        state = shares * Vector256.ShiftRightLogical(state, ShareBits) + Vector256.ShiftRightLogical(slot, 20);
        Vector256<uint> isBelow = Vector256.Equals(Vector256.ShiftRightLogical(state, 16), Vector256<uint>.Zero);
        uint below = isBelow.ExtractMostSignificantBits();
        Vector256<uint> words = Avx2.PermuteVar8x32(Avx2.ConvertToVector256Int32(next), Avx2.ConvertToVector256Int32(wordOfRow + Rows * below)).AsUInt32();
        state = Avx2.BlendVariable(state, Vector256.ShiftLeft(state, 16) | words, isBelow);
        next += BitOperations.PopCount(below);
        Vector256<int> lowest = Avx2.Shuffle(slot.AsByte(), Vector256.Create(0x0C080400, -1, -1, -1, 0x0C080400, -1, -1, -1).AsByte()).AsInt32();
        *(ulong*)integers = Sse2.UnpackLow(lowest.GetLower(), lowest.GetUpper()).AsUInt64().ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static sbyte Integer(ref uint state, ref ushort* next, uint slot)
    {
        uint share = state & ShareMask, before = slot >> 20, shares = slot >> 8 & ShareMask;
        bool isEscape = shares == 0;
        if (isEscape) shares = Shares - share + before; // all from its first one on
        state = shares * (state >> ShareBits) + before;
        Refill(ref state, ref next);
        if (!isEscape) return (sbyte)slot;
        share = state & ShareMask;
        state = ((state >> ShareBits) << ShareBits - RawBits) + (share & (1 << ShareBits - RawBits) - 1);
        Refill(ref state, ref next);
        return (sbyte)((int)(share >> ShareBits - RawBits) - 128);
    }

    // A state below the lowest takes a word; without a jump, which could not be foretold.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Refill(ref uint state, ref ushort* next)
    {
        long isBelow = (long)state - IntegerStream.Lowest >> 63; // all ones or zeros
        state = state << (int)(isBelow & 16) | *next & (uint)isBelow;
        next -= isBelow;
    }

    private static byte[] MakeWordOfRow()
    {
        byte[] words = GC.AllocateArray<byte>(256 * Rows, pinned: true);
        for (int set = 0; set < 256; set++)
            for (int row = 0; row < Rows; row++) words[Rows * set + row] = (byte)BitOperations.PopCount((uint)set & (1u << row) - 1);
        return words;
    }

    [InlineArray(Rows)]
    private struct States
    {
        private uint _first;
    }
}
