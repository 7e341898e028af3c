using System;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>How the integers of a chunk, 64 columns of a tile of 16 rows, lie in memory.</summary>
internal enum ChunkForm : byte
{
    /// <summary>4 bits for two columns (<see cref="PairTable"/>).</summary>
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
/// Sizes of the forms, and a row of a chunk in each of them, one integer after the other.
/// <para/>
/// A vector is 64 bytes: four of each row, row after row. Step s (0 to 15) is columns 4 s to 4 s + 3, a byte each. What a chunk consists of:
/// <list type="bullet">
/// <item>Pairs4: 4 vectors of nibbles; nibble n % 2 of vector n / 2 has the code of steps 2 n and 2 n + 1.</item>
/// <item>Pairs5: the same of the lower four bits, and a vector whose bit n is the fifth bit.</item>
/// <item>Bits3: 4 vectors with two bits of steps 4 i to 4 i + 3, then 2 vectors with the third bit of eight steps each.</item>
/// <item>Bits4: 8 vectors of nibbles, of steps 2 i and 2 i + 1.</item>
/// <item>Bits5: the same, and 2 vectors with the fifth bits.</item>
/// <item>Bits8: 16 vectors, one for each step.</item>
/// </list>
/// What a form does not hold is brought to the nearest that it does; the difference is the matter of <see cref="IntegerTiles"/>.
/// </summary>
internal static unsafe class ChunkForms
{
    /// <summary>Columns of a chunk.</summary>
    public const int Columns = 64;

    /// <summary>Number of forms.</summary>
    public const int Count = 6;

    private static ReadOnlySpan<byte> VectorCounts => [4, 5, 6, 8, 10, 16];
    private static ReadOnlySpan<byte> Offsets => [PairTable.Offset4, PairTable.Offset5, 4, 8, 16, 128];

    /// <summary>Vectors of a chunk: twice its bits a weight.</summary>
    public static int Vectors(ChunkForm form) => VectorCounts[(int)form];

    /// <summary>What codes are larger than their integers.</summary>
    public static int Offset(ChunkForm form) => Offsets[(int)form];

    /// <summary>The integers of a row of a chunk that a form makes of others.</summary>
    /// <param name="form">The form.</param>
    /// <param name="integers">[64].</param>
    /// <param name="nearest">[64], overwritten.</param>
    public static void Nearest(ChunkForm form, sbyte* integers, sbyte* nearest)
    {
        int offset = Offset(form);
        if (form is ChunkForm.Pairs4 or ChunkForm.Pairs5)
        {
            for (int pair = 0; pair < Columns / 2; pair++)
            {
                int first = FirstOfPair(pair), second = first + 4, code = Pair(form, integers[first], integers[second]);
                nearest[first] = (sbyte)(form == ChunkForm.Pairs4 ? PairTable.First4[code] - offset : PairTable.First5[code] - offset);
                nearest[second] = (sbyte)(form == ChunkForm.Pairs4 ? PairTable.Second4[code] - offset : PairTable.Second5[code] - offset);
            }
            return;
        }
        for (int c = 0; c < Columns; c++) nearest[c] = (sbyte)Math.Clamp((int)integers[c], -offset, offset - 1);
    }

    /// <summary>The sum of the differences of two rows of a chunk.</summary>
    public static int Distance(sbyte* a, sbyte* b)
    {
        Vector128<short> sum = default;
        for (int i = 0; i < Columns; i += 16)
        {
            (Vector128<short> a0, Vector128<short> a1) = Vector128.Widen(Vector128.Load(a + i));
            (Vector128<short> b0, Vector128<short> b1) = Vector128.Widen(Vector128.Load(b + i));
            sum += Vector128.Abs(a0 - b0) + Vector128.Abs(a1 - b1);
        }
        return Vector128.Sum(sum);
    }

    /// <summary>Writes the nearest integers of a row.</summary>
    /// <param name="form">The form.</param>
    /// <param name="integers">[64].</param>
    /// <param name="lane">The row's four bytes of the first vector of the chunk, which is cleared.</param>
    public static void Pack(ChunkForm form, sbyte* integers, byte* lane)
    {
        int offset = Offset(form);
        if (form is ChunkForm.Pairs4 or ChunkForm.Pairs5)
        {
            for (int pair = 0; pair < Columns / 2; pair++)
            {
                int n = pair / 4, b = pair % 4, first = FirstOfPair(pair), code = Pair(form, integers[first], integers[first + 4]);
                At(lane, n / 2, b) |= (byte)((code & 15) << n % 2 * 4);
                if (form == ChunkForm.Pairs5) At(lane, 4, b) |= (byte)(code >> 4 << n);
            }
            return;
        }
        for (int c = 0; c < Columns; c++)
        {
            int code = Math.Clamp((int)integers[c], -offset, offset - 1) + offset, s = c / 4, b = c % 4;
            switch (form)
            {
                case ChunkForm.Bits3:
                    At(lane, s / 4, b) |= (byte)((code & 3) << s % 4 * 2);
                    At(lane, 4 + s / 8, b) |= (byte)(code >> 2 << s % 8);
                    break;
                case ChunkForm.Bits8:
                    At(lane, s, b) = (byte)code;
                    break;
                default:
                    At(lane, s / 2, b) |= (byte)((code & 15) << s % 2 * 4);
                    if (form == ChunkForm.Bits5) At(lane, 8 + s / 8, b) |= (byte)(code >> 4 << s % 8);
                    break;
            }
        }
    }

    /// <summary>Reads a row.</summary>
    /// <param name="form">The form.</param>
    /// <param name="lane">The row's four bytes of the first vector of the chunk.</param>
    /// <param name="integers">[64], overwritten.</param>
    public static void Unpack(ChunkForm form, byte* lane, sbyte* integers)
    {
        int offset = Offset(form);
        if (form is ChunkForm.Pairs4 or ChunkForm.Pairs5)
        {
            ReadOnlySpan<byte> firsts = form == ChunkForm.Pairs4 ? PairTable.First4 : PairTable.First5, seconds = form == ChunkForm.Pairs4 ? PairTable.Second4 : PairTable.Second5;
            for (int pair = 0; pair < Columns / 2; pair++)
            {
                int n = pair / 4, b = pair % 4, first = FirstOfPair(pair), code = At(lane, n / 2, b) >> n % 2 * 4 & 15;
                if (form == ChunkForm.Pairs5) code |= (At(lane, 4, b) >> n & 1) << 4;
                integers[first] = (sbyte)(firsts[code] - offset);
                integers[first + 4] = (sbyte)(seconds[code] - offset);
            }
            return;
        }
        for (int c = 0; c < Columns; c++)
        {
            int s = c / 4, b = c % 4;
            int code = form switch
            {
                ChunkForm.Bits3 => At(lane, s / 4, b) >> s % 4 * 2 & 3 | (At(lane, 4 + s / 8, b) >> s % 8 & 1) << 2,
                ChunkForm.Bits8 => At(lane, s, b),
                ChunkForm.Bits5 => At(lane, s / 2, b) >> s % 2 * 4 & 15 | (At(lane, 8 + s / 8, b) >> s % 8 & 1) << 4,
                _ => At(lane, s / 2, b) >> s % 2 * 4 & 15,
            };
            integers[c] = (sbyte)(code - offset);
        }
    }

    private static ref byte At(byte* lane, int vector, int index) => ref lane[IBlockFormat.Vector * vector + index];

    // A pair is a byte of step 2 n and the same byte of step 2 n + 1.
    private static int FirstOfPair(int pair) => 8 * (pair / 4) + pair % 4;

    private static int Pair(ChunkForm form, int first, int second) => form == ChunkForm.Pairs4 ? PairTable.Nearest4(first, second) : PairTable.Nearest5(first, second);
}
