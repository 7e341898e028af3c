using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Sums over bit masks are sums of bytes x + 128 ≥ 0 (vpsadbw), three of them in one 64-bit lane as 16-bit fields, in two halves of 32
/// weights a step. Codes are spread to the places of their
/// weights sixteen at a time, by byte shuffles from a table indexed by eight bits of the mask.
/// </summary>
internal readonly unsafe struct EightBitProductAvx2 : IEightBitProduct
{
    private static readonly ulong* s_spread = SpreadTable();

    /// <summary>Byte j is the index of the code for bit j of eight bits of a mask, or 128.</summary>
    public static ulong SpreadOf(int mask) => s_spread[mask];

    public static void Run(in PackedRows rows, in RowTile tile, sbyte* x, float* scales, int* sums, float* results)
    {
        switch (rows.LowBits)
        {
            case 0: Run<NoLowPlane>(rows, tile, x, scales, sums, results); break;
            case 1: Run<OneLowPlane>(rows, tile, x, scales, sums, results); break;
            default: Run<TwoLowPlanes>(rows, tile, x, scales, sums, results); break;
        }
    }

    private static void Run<TPlanes>(in PackedRows rows, in RowTile tile, sbyte* x, float* scales, int* sums, float* results)
        where TPlanes : struct, ILowPlanes
    {
        int words = rows.Words;
        bool wide = rows.RestBits == 8;
        ulong** positions = tile.Positions;
        ulong** low = tile.Low;
        byte** codes = tile.Cursors;
        for (int i = 0; i < RowTile.Rows; i++) codes[i] = tile.Codes[i];
        Vector128<int> restBits = Vector128.CreateScalar(rows.RestBits);
        Vector256<float> y = default;
        for (int b = 0; b < words;)
        {
            TileScales tables = TileScales.Load(rows, tile.FirstRow, b);
            for (; b < tables.EndBlock; b++)
            {
                FourRows<TPlanes>(positions, low, codes, b, words, x + 64L * b, wide, out Vector256<ulong> fields0, out Vector256<int> rest0);
                FourRows<TPlanes>(positions + 4, low + 4, codes + 4, b, words, x + 64L * b, wide, out Vector256<ulong> fields1, out Vector256<int> rest1);
                Vector256<int> lower = Vector256.Narrow(fields0, fields1).AsInt32();
                Vector256<int> upper = Vector256.Narrow(Vector256.ShiftRightLogical(fields0, 32), Vector256.ShiftRightLogical(fields1, 32)).AsInt32();
                y += tables.Apply(
                    TPlanes.Count, restBits, Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(lower, 16), 16), Vector256.ShiftRightArithmetic(lower, 16),
                    Vector256.ShiftRightArithmetic(upper, 16), Avx2.Permute2x128(rest0, rest1, 0x20) + Avx2.Permute2x128(rest0, rest1, 0x31), sums[b], scales[b]);
            }
        }
        y.Store(results);
    }

    // The corrected fields of four rows, and their products with codes, the sum of the two 128-bit lanes left to do.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourRows<TPlanes>(
        ulong** positions, ulong** low, byte** codes, int b, int words, sbyte* x, bool wide, out Vector256<ulong> fields, out Vector256<int> rests)
        where TPlanes : struct, ILowPlanes
    {
        Vector256<sbyte> values0 = Vector256.Load(x), values1 = Vector256.Load(x + 32);
        Vector256<ulong> field0 = Row<TPlanes>(positions[0] + b, low[0] + b, words, values0, values1, wide, ref codes[0], out Vector256<int> rest0, out ulong count0);
        Vector256<ulong> field1 = Row<TPlanes>(positions[1] + b, low[1] + b, words, values0, values1, wide, ref codes[1], out Vector256<int> rest1, out ulong count1);
        Vector256<ulong> field2 = Row<TPlanes>(positions[2] + b, low[2] + b, words, values0, values1, wide, ref codes[2], out Vector256<int> rest2, out ulong count2);
        Vector256<ulong> field3 = Row<TPlanes>(positions[3] + b, low[3] + b, words, values0, values1, wide, ref codes[3], out Vector256<int> rest3, out ulong count3);
        Vector256<ulong> field01 = Avx2.UnpackLow(field0, field1) + Avx2.UnpackHigh(field0, field1), field23 = Avx2.UnpackLow(field2, field3) + Avx2.UnpackHigh(field2, field3);
        fields = Avx2.Permute2x128(field01, field23, 0x20) + Avx2.Permute2x128(field01, field23, 0x31);
        fields = (fields.AsUInt16() - Vector256.ShiftLeft(Vector256.Create(count0, count1, count2, count3).AsUInt16(), 7)).AsUInt64();
        rests = Avx2.HorizontalAdd(Avx2.HorizontalAdd(rest0, rest1), Avx2.HorizontalAdd(rest2, rest3));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Row<TPlanes>(
        ulong* positions, ulong* low, int words, Vector256<sbyte> values0, Vector256<sbyte> values1, bool wide, ref byte* codes, out Vector256<int> rest, out ulong count)
        where TPlanes : struct, ILowPlanes
    {
        ulong salient = *positions;
        Vector256<byte> offset = Vector256.Create((byte)128), shifted0 = values0.AsByte() ^ offset, shifted1 = values1.AsByte() ^ offset;
        Vector256<byte> high0 = Lanes((uint*)positions) & shifted0, high1 = Lanes((uint*)positions + 1) & shifted1;
        Vector256<ulong> fields = Vector256.ShiftLeft(Sum(high0) + Sum(high1), 48);
        if (TPlanes.Count > 0) fields += Plane((uint*)low, shifted0, shifted1, high0, high1);
        if (TPlanes.Count > 1) fields += Vector256.ShiftLeft(Plane((uint*)(low + words), shifted0, shifted1, high0, high1), 1);
        Vector256<byte> spread0 = Spread(codes, (uint)salient), spread1 = Spread(codes + BitOperations.PopCount((uint)salient), (uint)(salient >> 32));
        count = BitCounts.Fields<TPlanes>(salient, low, words);
        codes += count >> 48;
        rest = TPlanes.Count == 0 && wide
            ? WideProduct(spread0, values0) + WideProduct(spread1, values1)
            : Pairs(Avx2.MultiplyAddAdjacent(spread0, values0)) + Pairs(Avx2.MultiplyAddAdjacent(spread1, values1));
        return fields;
    }

    // The fields all and both of one plane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Plane(uint* bits, Vector256<byte> shifted0, Vector256<byte> shifted1, Vector256<byte> high0, Vector256<byte> high1)
    {
        Vector256<byte> bits0 = Lanes(bits), bits1 = Lanes(bits + 1);
        return Sum(bits0 & shifted0) + Sum(bits1 & shifted1) + Vector256.ShiftLeft(Sum(bits0 & high0) + Sum(bits1 & high1), 16);
    }

    // Byte i is all ones if bit i is set.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Lanes(uint* bits)
    {
        Vector256<byte> byteOfLane = Vector256.Create(
            Vector128.Create(0x0000000000000000UL, 0x0101010101010101), Vector128.Create(0x0202020202020202UL, 0x0303030303030303)).AsByte();
        Vector256<byte> bitOfLane = Vector256.Create(0x8040201008040201UL).AsByte();
        // As a float, because only then the word is broadcast straight from memory.
        return Vector256.Equals(Avx2.Shuffle(Vector256.Create(*(float*)bits).AsByte(), byteOfLane) & bitOfLane, bitOfLane);
    }

    private static Vector256<ulong> Sum(Vector256<byte> bytes) => Avx2.SumAbsoluteDifferences(bytes, Vector256<byte>.Zero).AsUInt64();

    private static Vector256<int> Pairs(Vector256<short> sums) => Avx2.MultiplyAddAdjacent(sums, Vector256<short>.One);

    private static Vector256<int> WideProduct(Vector256<byte> codes, Vector256<sbyte> values)
    {
        Vector256<sbyte> even = values & Vector256.Create((short)0x00FF).AsSByte(), odd = values & Vector256.Create(unchecked((short)0xFF00)).AsSByte();
        return Pairs(Avx2.MultiplyAddAdjacent(codes, even)) + Pairs(Avx2.MultiplyAddAdjacent(codes, odd));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Spread(byte* codes, uint salient) => Vector256.Create(
        SpreadSixteen(codes, salient & 0xFFFF), SpreadSixteen(codes + BitOperations.PopCount(salient & 0xFFFF), salient >> 16));

    // One load holds the codes of sixteen weights; those of the upper eight come after those of the lower.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> SpreadSixteen(byte* codes, uint salient)
    {
        uint lower = salient & 0xFF;
        ulong before = (ulong)(uint)BitOperations.PopCount(lower) * 0x0101010101010101;
        return Ssse3.Shuffle(Vector128.Load(codes), Vector128.Create(s_spread[lower], s_spread[salient >> 8] + before).AsByte());
    }

    // Entry m: byte j is the number of bits of m below bit j if that is set, else 128, which gives zero.
    private static ulong* SpreadTable()
    {
        ulong* table = (ulong*)NativeMemory.AlignedAlloc(256 * sizeof(ulong), 64);
        for (int mask = 0; mask < 256; mask++)
        {
            ulong entry = 0;
            for (int j = 0; j < 8; j++)
            {
                int index = (mask >> j & 1) != 0 ? BitOperations.PopCount((uint)mask & ((1u << j) - 1)) : 128;
                entry |= (ulong)index << 8 * j;
            }
            table[mask] = entry;
        }
        return table;
    }
}
