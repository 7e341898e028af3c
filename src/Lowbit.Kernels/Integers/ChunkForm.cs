using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>How the integers of a chunk, 64 or 96 columns of a tile of 16 rows, lie in memory.</summary>
internal enum ChunkForm : byte
{
    /// <summary>4 bits for three columns (<see cref="TupleTable"/>).</summary>
    Triples4,
    /// <summary>5 bits for three columns.</summary>
    Triples5,
    /// <summary>4 bits for two columns.</summary>
    Pairs4,
    /// <summary>5 bits for two columns.</summary>
    Pairs5,
    /// <summary>−4 to 3.</summary>
    Bits3,
    /// <summary>−8 to 7.</summary>
    Bits4,
    /// <summary>−16 to 15.</summary>
    Bits5,
    /// <summary>−128 to 127.</summary>
    Bits8,
}

/// <summary>
/// Sizes of the forms, and a row of a chunk in each of them.
/// <para/>
/// A vector is 64 bytes: four of each row, row after row. Step s is columns 4 s to 4 s + 3, a byte each. A chunk is eight groups of steps, of three
/// if its form has triples, else of two. What it consists of:
/// <list type="bullet">
/// <item>Triples4, Pairs4: 4 vectors of nibbles; nibble n % 2 of vector n / 2 has the code of the steps of group n.</item>
/// <item>Triples5, Pairs5: the same of the lower four bits, and a vector whose bit n is the fifth bit.</item>
/// <item>Bits3: 4 vectors with two bits of steps 4 i to 4 i + 3, then 2 vectors with the third bit of eight steps each.</item>
/// <item>Bits4: 8 vectors of nibbles, of steps 2 i and 2 i + 1.</item>
/// <item>Bits5: the same, and 2 vectors with the fifth bits.</item>
/// <item>Bits8: 16 vectors, one for each step.</item>
/// </list>
/// What a form does not hold is brought to the nearest that it does, and the difference is an entry of the row (<see cref="RowEntries"/>).
/// </summary>
internal static unsafe class ChunkForms
{
    /// <summary>Number of forms.</summary>
    public const int Count = 8;

    /// <summary>Columns of the widest chunk.</summary>
    public const int MostColumns = 96;

    /// <summary>Vectors of the largest chunk.</summary>
    public const int MostVectors = 16;

    private const int Groups = 8, Lane = 4;
    private const uint Ones = 0x01010101;

    private static ReadOnlySpan<byte> VectorCounts => [4, 5, 4, 5, 6, 8, 10, 16];
    private static ReadOnlySpan<byte> Offsets => [1, 2, 2, 3, 4, 8, 16, 128];

    /// <summary>Vectors of a chunk.</summary>
    public static int Vectors(ChunkForm form) => VectorCounts[(int)form];

    /// <summary>Bits that a row has in a chunk.</summary>
    public static int Bits(ChunkForm form) => 8 * Lane * Vectors(form);

    /// <summary>Columns of a chunk.</summary>
    public static int Columns(ChunkForm form) => Lane * Groups * Steps(form);

    /// <summary>What codes are larger than their integers.</summary>
    public static int Offset(ChunkForm form) => Offsets[(int)form];

    /// <summary>The tuples of a form, if it has such.</summary>
    public static TupleTable? Tuples(ChunkForm form) => form switch
    {
        ChunkForm.Triples4 => TupleTable.Triples4,
        ChunkForm.Triples5 => TupleTable.Triples5,
        ChunkForm.Pairs4 => TupleTable.Pairs4,
        ChunkForm.Pairs5 => TupleTable.Pairs5,
        _ => null,
    };

    /// <summary>Packs a row of a chunk.</summary>
    /// <param name="form">The form.</param>
    /// <param name="integers">The row.</param>
    /// <param name="column">Its first column in the chunk.</param>
    /// <param name="words">[vectors] the row's four bytes of each vector, overwritten.</param>
    /// <param name="entries">The row's entries so far.</param>
    [SkipLocalsInit]
    public static void Pack(ChunkForm form, sbyte* integers, int column, uint* words, ref RowEntries entries)
    {
        uint* steps = stackalloc uint[MostColumns / Lane];
        TupleTable? tuples = Tuples(form);
        Clamp(integers + column, Columns(form), tuples?.Reach ?? Offset(form), (byte*)steps);
        if (tuples is null) PackBits(form, steps, words);
        else PackTuples(tuples, steps, words);
        AddDifferences(integers, column, Columns(form), Offset(form), (byte*)steps, ref entries);
    }

    /// <summary>Reads a row of a chunk, without entries.</summary>
    /// <param name="form">The form.</param>
    /// <param name="lane">The row's four bytes of the first vector of the chunk.</param>
    /// <param name="integers">[columns of the form], overwritten.</param>
    public static void Unpack(ChunkForm form, byte* lane, sbyte* integers)
    {
        if (Tuples(form) is TupleTable tuples)
        {
            for (int n = 0; n < Groups; n++)
                for (int b = 0; b < Lane; b++)
                {
                    int code = At(lane, n / 2, b) >> n % 2 * 4 & 15;
                    if (tuples.Codes > 16) code |= (At(lane, 4, b) >> n & 1) << 4;
                    for (int place = 0; place < tuples.Size; place++) integers[Lane * (tuples.Size * n + place) + b] = (sbyte)tuples.Integer(place, code);
                }
            return;
        }
        for (int c = 0; c < Columns(form); c++)
        {
            int s = c / Lane, b = c % Lane;
            int code = form switch
            {
                ChunkForm.Bits3 => At(lane, s / 4, b) >> s % 4 * 2 & 3 | (At(lane, 4 + s / 8, b) >> s % 8 & 1) << 2,
                ChunkForm.Bits8 => At(lane, s, b),
                ChunkForm.Bits5 => At(lane, s / 2, b) >> s % 2 * 4 & 15 | (At(lane, 8 + s / 8, b) >> s % 8 & 1) << 4,
                _ => At(lane, s / 2, b) >> s % 2 * 4 & 15,
            };
            integers[c] = (sbyte)(code - Offset(form));
        }
    }

    private static byte At(byte* lane, int vector, int index) => lane[IBlockFormat.Vector * vector + index];

    private static int Steps(ChunkForm form) => form is ChunkForm.Triples4 or ChunkForm.Triples5 ? 3 : 2;

    // Integers brought to −reach to reach − 1, plus reach.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Clamp(sbyte* integers, int columns, int reach, byte* target)
    {
        Vector256<sbyte> least = Vector256.Create((sbyte)-reach), most = Vector256.Create((sbyte)(reach - 1));
        for (int c = 0; c < columns; c += Vector256<sbyte>.Count) (Vector256.Min(Vector256.Max(Vector256.Load(integers + c), least), most) - least).Store((sbyte*)target + c);
    }

    // What is between the integers and those that the form holds, which have an offset.
    private static void AddDifferences(sbyte* integers, int column, int columns, int offset, byte* held, ref RowEntries entries)
    {
        Vector256<byte> offsets = Vector256.Create((byte)offset);
        for (int end = column + columns; column < end; column += Vector256<byte>.Count, held += Vector256<byte>.Count)
        {
            Vector256<byte> equal = Vector256.Equals(Vector256.Load((byte*)integers + column) + offsets, Vector256.Load(held));
            for (uint different = ~equal.ExtractMostSignificantBits(); different != 0; different &= different - 1)
            {
                int i = BitOperations.TrailingZeroCount(different);
                entries.Add(column + i, integers[column + i] + offset - held[i]);
            }
        }
    }

    // Of steps of clamped integers; overwritten with those that the tuples have, plus their offset.
    [SkipLocalsInit]
    private static void PackTuples(TupleTable tuples, uint* steps, uint* words)
    {
        uint* codes = stackalloc uint[Groups];
        byte* nearest = tuples.Nearest;
        uint radix = (uint)(2 * tuples.Reach);
        for (int n = 0; n < Groups; n++)
        {
            // Four tuples at once: no byte runs over.
            uint* step = steps + tuples.Size * n;
            uint index = step[0] + radix * step[1];
            if (tuples.Size == 3) index += radix * radix * step[2];
            codes[n] = nearest[(byte)index] | (uint)nearest[(byte)(index >> 8)] << 8 | (uint)nearest[(byte)(index >> 16)] << 16 | (uint)nearest[index >> 24] << 24;
        }
        for (int v = 0; v < Groups / 2; v++) words[v] = codes[2 * v] & 15 * Ones | (codes[2 * v + 1] & 15 * Ones) << 4;
        if (tuples.Codes > 16) UpperBits(codes, 4, words + Groups / 2);
        uint* integers = stackalloc uint[Groups];
        for (int place = 0; place < tuples.Size; place++)
        {
            tuples.LookUp(place, (byte*)codes, Lane * Groups, (byte*)integers);
            for (int n = 0; n < Groups; n++) steps[tuples.Size * n + place] = integers[n];
        }
    }

    private static void PackBits(ChunkForm form, uint* codes, uint* words)
    {
        const int Steps = 2 * Groups;
        switch (form)
        {
            case ChunkForm.Bits3:
                for (int v = 0; v < Steps / 4; v++) words[v] = codes[4 * v] & 3 * Ones | (codes[4 * v + 1] & 3 * Ones) << 2 | (codes[4 * v + 2] & 3 * Ones) << 4 | (codes[4 * v + 3] & 3 * Ones) << 6;
                for (int v = 0; v < 2; v++) UpperBits(codes + 8 * v, 2, words + Steps / 4 + v);
                break;
            case ChunkForm.Bits8:
                for (int s = 0; s < Steps; s++) words[s] = codes[s];
                break;
            default:
                for (int v = 0; v < Steps / 2; v++) words[v] = codes[2 * v] & 15 * Ones | (codes[2 * v + 1] & 15 * Ones) << 4;
                for (int v = 0; form == ChunkForm.Bits5 && v < 2; v++) UpperBits(codes + 8 * v, 4, words + Steps / 2 + v);
                break;
        }
    }

    // One bit of eight codes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void UpperBits(uint* codes, int bit, uint* word)
    {
        *word = 0;
        for (int i = 0; i < 8; i++) *word |= (codes[i] >> bit & Ones) << i;
    }
}
