using System;
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
    public static void Pack(ChunkForm form, sbyte* integers, int column, uint* words, ref RowEntries entries)
    {
        uint* codes = stackalloc uint[MostColumns / Lane], outside = stackalloc uint[MostColumns / Lane];
        TupleTable? tuples = Tuples(form);
        int reach = tuples?.Reach ?? Offset(form);
        uint isOutside = Clamp(integers + column, Columns(form), reach, codes, outside);
        if (tuples is not null) PackTuples(tuples, integers, column, codes, outside, words, ref entries);
        else
        {
            PackBits(form, codes, words);
            if (isOutside == 0) return;
            for (int c = column; c < column + Columns(form); c++) entries.Add(c, integers[c] - Math.Clamp((int)integers[c], -reach, reach - 1));
        }
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

    // Integers brought to −reach to reach − 1, plus reach, a step a word; bytes of outside are all ones where that changed them. Gives all of these or-ed.
    private static uint Clamp(sbyte* integers, int columns, int reach, uint* codes, uint* outside)
    {
        Vector128<sbyte> least = Vector128.Create((sbyte)-reach), most = Vector128.Create((sbyte)(reach - 1)), any = default;
        for (int c = 0; c < columns; c += Vector128<sbyte>.Count)
        {
            Vector128<sbyte> all = Vector128.Load(integers + c), within = Vector128.Min(Vector128.Max(all, least), most), changed = ~Vector128.Equals(all, within);
            (within - least).Store((sbyte*)codes + c);
            changed.Store((sbyte*)outside + c);
            any |= changed;
        }
        return (any.AsUInt64()[0] | any.AsUInt64()[1]) != 0 ? uint.MaxValue : 0;
    }

    private static void PackTuples(TupleTable tuples, sbyte* integers, int column, uint* clamped, uint* outside, uint* words, ref RowEntries entries)
    {
        const uint Flags = 0x80808080;
        uint* codes = stackalloc uint[Groups];
        uint fifths = 0, radix = (uint)(2 * tuples.Reach);
        for (int n = 0; n < Groups; n++, clamped += tuples.Size, outside += tuples.Size, column += Lane * tuples.Size)
        {
            // Four tuples at once: no byte runs over.
            uint index = clamped[0] + radix * clamped[1], rest = outside[0] | outside[1];
            if (tuples.Size == 3)
            {
                index += radix * radix * clamped[2];
                rest |= outside[2];
            }
            uint code = tuples.Nearest((int)(index & 255)) | (uint)tuples.Nearest((int)(index >> 8 & 255)) << 8 | (uint)tuples.Nearest((int)(index >> 16 & 255)) << 16 | (uint)tuples.Nearest((int)(index >> 24)) << 24;
            rest = (rest | code) & Flags;
            codes[n] = code & 0x0F0F0F0F;
            fifths |= (code >> 4 & 0x01010101) << n;
            if (rest == 0) continue;
            for (int place = 0; place < tuples.Size; place++)
                for (int b = 0; b < Lane; b++)
                {
                    int c = column + Lane * place + b;
                    if ((rest >> 8 * b & 0x80) != 0) entries.Add(c, integers[c] - tuples.Integer(place, (int)(code >> 8 * b & 31)));
                }
        }
        for (int v = 0; v < Groups / 2; v++) words[v] = codes[2 * v] | codes[2 * v + 1] << 4;
        if (tuples.Codes > 16) words[Groups / 2] = fifths;
    }

    private static void PackBits(ChunkForm form, uint* codes, uint* words)
    {
        const uint Ones = 0x01010101;
        const int Steps = 2 * Groups;
        switch (form)
        {
            case ChunkForm.Bits3:
                for (int v = 0; v < Steps / 4; v++) words[v] = codes[4 * v] & 3 * Ones | (codes[4 * v + 1] & 3 * Ones) << 2 | (codes[4 * v + 2] & 3 * Ones) << 4 | (codes[4 * v + 3] & 3 * Ones) << 6;
                UpperBits(codes, 2, words + Steps / 4);
                break;
            case ChunkForm.Bits8:
                for (int s = 0; s < Steps; s++) words[s] = codes[s];
                break;
            default:
                for (int v = 0; v < Steps / 2; v++) words[v] = codes[2 * v] & 15 * Ones | (codes[2 * v + 1] & 15 * Ones) << 4;
                if (form == ChunkForm.Bits5) UpperBits(codes, 4, words + Steps / 2);
                break;
        }

        // One bit of eight and eight steps.
        static void UpperBits(uint* codes, int bit, uint* words)
        {
            for (int v = 0; v < 2; v++)
            {
                words[v] = 0;
                for (int s = 0; s < 8; s++) words[v] |= (codes[8 * v + s] >> bit & Ones) << s;
            }
        }
    }
}
