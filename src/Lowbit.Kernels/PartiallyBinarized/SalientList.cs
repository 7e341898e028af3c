using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The salient weights of a row in a segment, in the order of columns, while its steps are written (<see cref="StepForm"/>). Each is an integer with
/// the code in bits 0 to 7, the gap to it, if steps have gaps, from bit 8 on and the column in the segment from bit 16 on; so they compare by their
/// columns. Columns that a gap leads to without a weight are in the list too.
/// </summary>
internal static unsafe class SalientList
{
    /// <summary>What stands four times behind the last weight.</summary>
    public const int None = int.MaxValue;

    /// <summary>Byte where gap or column begins.</summary>
    public const int GapByte = 1, ColumnByte = 2;

    /// <summary>Integers that a list takes at most.</summary>
    public const int Most = Columns + Eight;

    private const int Columns = 64 * SegmentProduct.SegmentBlocks;
    private const int Ending = 4; // times None
    private const int Eight = 8; // columns that are listed at once: how many ones there are, nobody can predict

    private static readonly byte* s_ones = Ones();

    /// <summary>Lists the weights of a row.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="row">The row.</param>
    /// <param name="block">First block of the segment.</param>
    /// <param name="end">Block before which it ends.</param>
    /// <param name="rest">The row's unpacked codes, without the bits that are in the low planes; afterwards those of the next segment.</param>
    /// <param name="list">[<see cref="Most"/>].</param>
    /// <returns>What follows the list.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int* Fill(in PackedRows rows, int row, int block, int end, ref byte* rest, int* list)
    {
        byte* codes = rest, ones = s_ones;
        for (int b = block; b < end; b++)
        {
            ulong positions = rows.Positions[(long)row * rows.Words + b];
            ulong plane0 = rows.LowBits > 0 ? rows.LowWord(row, 0, b) : 0, plane1 = rows.LowBits > 1 ? rows.LowWord(row, 1, b) : 0;
            for (int shift = 0; shift < 64; shift += Eight)
            {
                byte eight = (byte)(positions >> shift);
                Vector256<int> bit = Avx2.ConvertToVector256Int32(ones + Eight * eight), column = bit + Vector256.Create(64 * (b - block) + shift);
                Vector256<int> upper = Bit(plane0 >> shift, bit);
                if (rows.LowBits == 2) upper += 2 * Bit(plane1 >> shift, bit);
                (Vector256.ShiftLeft(column, 8 * ColumnByte) + Vector256.ShiftLeft(upper, rows.RestBits) + Avx2.ConvertToVector256Int32(codes)).Store(list);
                int count = BitOperations.PopCount(eight);
                list += count;
                codes += count;
            }
        }
        rest = codes;
        return End(list);
    }

    /// <summary>The same with gaps.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int* FillWithGaps(in PackedRows rows, int row, int block, int end, ref byte* rest, int* list)
    {
        int* weights = stackalloc int[1 + Most], none = Fill(rows, row, block, end, ref rest, weights + 1) - Ending;
        *weights++ = -1 << 8 * ColumnByte; // as if the column before the first one had a weight
        while (weights < none)
        {
            Vector256<int> eight = Vector256.Load(weights), gaps = (eight >> 8 * ColumnByte) - (Vector256.Load(weights - 1) >> 8 * ColumnByte);
            (eight | gaps << 8 * GapByte).Store(list);
            uint tooLong = Vector256.GreaterThan(gaps, Vector256.Create(StepForm.LongestGap)).ExtractMostSignificantBits();
            int left = Math.Min(Eight, (int)(none - weights)), good = Math.Min(left, BitOperations.TrailingZeroCount(tooLong));
            list += good;
            weights += good;
            if (good == left) continue;
            int column = *weights >> 8 * ColumnByte, last = weights[-1] >> 8 * ColumnByte;
            for (; column - last > StepForm.LongestGap; *list++ = last << 8 * ColumnByte | StepForm.GapToNone << 8 * GapByte) last += StepForm.LongestGap;
            *list++ = *weights++ | column - last << 8 * GapByte;
        }
        return End(list);
    }

    /// <summary>Ends a list.</summary>
    /// <returns>What follows it.</returns>
    public static int* End(int* list)
    {
        Vector128.Create(None).Store(list);
        return list + Ending;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Bit(ulong plane, Vector256<int> bit) =>
        Avx2.ShiftRightLogicalVariable(Vector256.Create((int)plane), bit.AsUInt32()) & Vector256<int>.One;

    // For each byte the places of its ones.
    private static byte* Ones()
    {
        byte* table = (byte*)NativeMemory.AllocZeroed(256, Eight);
        for (int value = 0; value < 256; value++)
        {
            byte* next = table + Eight * value;
            for (int bit = 0; bit < Eight; bit++)
            {
                if ((value >> bit & 1) != 0) *next++ = (byte)bit;
            }
        }
        return table;
    }
}
