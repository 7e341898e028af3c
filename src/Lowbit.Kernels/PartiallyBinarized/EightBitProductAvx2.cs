using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// As <see cref="EightBitProductAvx512"/>, in two halves of 32 weights a step. Codes are spread to the places of their
/// weights eight at a time: a table of byte shuffles is indexed by eight bits of the mask.
/// </summary>
internal readonly unsafe struct EightBitProductAvx2 : IEightBitProduct
{
    private static readonly ulong* s_spread = SpreadTable();

    /// <summary>Byte j is the index of the code for bit j of eight bits of a mask, or 128.</summary>
    public static ulong SpreadOf(int mask) => s_spread[mask];

    public static void Run(in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results)
    {
        if (rows.LowBits == 1 && rows.RestBits > 0) Run(rows, firstRow, codes, x, scales, sums, results, 1, false, true);
        else if (rows.LowBits == 2) Run(rows, firstRow, codes, x, scales, sums, results, 2, false, rows.RestBits > 0);
        else Run(rows, firstRow, codes, x, scales, sums, results, rows.LowBits, rows.RestBits == 8, rows.RestBits > 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run(
        in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results, int lowBits, bool wideCodes, bool hasRest)
    {
        const int Rows = IEightBitProduct.Rows;
        Vector256<ulong>* fields = stackalloc Vector256<ulong>[Rows];
        Vector256<int>* products = stackalloc Vector256<int>[Rows];
        ulong* counts = stackalloc ulong[Rows];
        ulong** positions = stackalloc ulong*[Rows];
        ulong** low = stackalloc ulong*[Rows];
        byte** cursors = stackalloc byte*[Rows];
        int words = rows.Words;
        for (int i = 0; i < Rows; i++)
        {
            long row = Math.Min(firstRow + i, rows.Rows - 1);
            positions[i] = rows.Positions + row * words;
            low[i] = rows.Low + row * words * lowBits;
            cursors[i] = codes + (long)i * rows.CodeStride;
        }

        Vector256<byte> offset = Vector256.Create((byte)128);
        EightBitBlocks blocks = new(rows, firstRow);
        for (int b = 0; b < words; b++)
        {
            Vector256<sbyte> values0 = Vector256.Load(x + 64 * b), values1 = Vector256.Load(x + 64 * b + 32);
            Vector256<byte> shifted0 = values0.AsByte() ^ offset, shifted1 = values1.AsByte() ^ offset;
            for (int i = 0; i < Rows; i++)
            {
                ulong salient = positions[i][b];
                Vector256<byte> high0 = Lanes((uint)salient) & shifted0, high1 = Lanes((uint)(salient >> 32)) & shifted1;
                Vector256<ulong> field = Vector256.ShiftLeft(Sum(high0) + Sum(high1), 32);
                ulong count = (ulong)BitOperations.PopCount(salient) << 32;
                for (int plane = 0; plane < lowBits; plane++)
                {
                    ulong bits = low[i][plane * words + b];
                    Vector256<byte> bits0 = Lanes((uint)bits), bits1 = Lanes((uint)(bits >> 32));
                    Vector256<ulong> all = Sum(bits0 & shifted0) + Sum(bits1 & shifted1), both = Sum(bits0 & high0) + Sum(bits1 & high1);
                    field += Vector256.ShiftLeft(all, plane) + Vector256.ShiftLeft(both, 16 + plane);
                    count += ((ulong)BitOperations.PopCount(bits) << plane) + ((ulong)BitOperations.PopCount(bits & salient) << (16 + plane));
                }
                fields[i] = field;
                counts[i] = count;
                if (!hasRest) continue;
                Spread(cursors[i], salient, out Vector256<byte> spread0, out Vector256<byte> spread1);
                cursors[i] += BitOperations.PopCount(salient);
                products[i] = wideCodes
                    ? WideProduct(spread0, values0) + WideProduct(spread1, values1)
                    : Pairs(Avx2.MultiplyAddAdjacent(spread0, values0)) + Pairs(Avx2.MultiplyAddAdjacent(spread1, values1));
            }
            Vector256<ulong> corrected0 = Correct(SumLanes(fields), counts), corrected1 = Correct(SumLanes(fields + 4), counts + 4);
            Vector256<int> lower = Vector256.Narrow(corrected0, corrected1).AsInt32();
            Vector256<int> upper = Vector256.Narrow(Vector256.ShiftRightLogical(corrected0, 32), Vector256.ShiftRightLogical(corrected1, 32)).AsInt32();
            blocks.Add(
                b, Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(lower, 16), 16), Vector256.ShiftRightArithmetic(lower, 16),
                Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(upper, 16), 16), hasRest ? SumLanes(products) : default, sums[b], scales[b]);
        }
        blocks.Results.Store(results);
    }

    // Byte i is all ones if bit i is set.
    private static Vector256<byte> Lanes(uint bits)
    {
        Vector256<byte> byteOfLane = Vector256.Create(
            Vector128.Create(0x0000000000000000UL, 0x0101010101010101), Vector128.Create(0x0202020202020202UL, 0x0303030303030303)).AsByte();
        Vector256<byte> bitOfLane = Vector256.Create(0x8040201008040201UL).AsByte();
        return Vector256.Equals(Avx2.Shuffle(Vector256.Create(bits).AsByte(), byteOfLane) & bitOfLane, bitOfLane);
    }

    private static Vector256<ulong> Sum(Vector256<byte> bytes) => Avx2.SumAbsoluteDifferences(bytes, Vector256<byte>.Zero).AsUInt64();

    private static Vector256<int> Pairs(Vector256<short> sums) => Avx2.MultiplyAddAdjacent(sums, Vector256<short>.One);

    private static Vector256<int> WideProduct(Vector256<byte> codes, Vector256<sbyte> values)
    {
        Vector256<sbyte> even = values & Vector256.Create((short)0x00FF).AsSByte(), odd = values & Vector256.Create(unchecked((short)0xFF00)).AsSByte();
        return Pairs(Avx2.MultiplyAddAdjacent(codes, even)) + Pairs(Avx2.MultiplyAddAdjacent(codes, odd));
    }

    private static Vector256<ulong> Correct(Vector256<ulong> fields, ulong* counts) =>
        (fields.AsUInt16() - Vector256.ShiftLeft(Vector256.Load(counts).AsUInt16(), 7)).AsUInt64();

    private static Vector256<ulong> SumLanes(Vector256<ulong>* v)
    {
        Vector256<ulong> v01 = Avx2.UnpackLow(v[0], v[1]) + Avx2.UnpackHigh(v[0], v[1]);
        Vector256<ulong> v23 = Avx2.UnpackLow(v[2], v[3]) + Avx2.UnpackHigh(v[2], v[3]);
        return Avx2.Permute2x128(v01, v23, 0x20) + Avx2.Permute2x128(v01, v23, 0x31);
    }

    private static Vector256<int> SumLanes(Vector256<int>* v)
    {
        Vector256<int> v0123 = Avx2.HorizontalAdd(Avx2.HorizontalAdd(v[0], v[1]), Avx2.HorizontalAdd(v[2], v[3]));
        Vector256<int> v4567 = Avx2.HorizontalAdd(Avx2.HorizontalAdd(v[4], v[5]), Avx2.HorizontalAdd(v[6], v[7]));
        return Avx2.Permute2x128(v0123, v4567, 0x20) + Avx2.Permute2x128(v0123, v4567, 0x31);
    }

    private static void Spread(byte* codes, ulong salient, out Vector256<byte> spread0, out Vector256<byte> spread1)
    {
        // The popcount of each byte, then in byte k the sum of those before it.
        ulong pairs = salient - (salient >> 1 & 0x5555555555555555);
        ulong nibbles = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333);
        ulong bytes = nibbles + (nibbles >> 4) & 0x0F0F0F0F0F0F0F0F;
        ulong before = bytes * 0x0101010101010100;
        spread0 = Spread(codes, (uint)salient, (uint)before);
        spread1 = Spread(codes, (uint)(salient >> 32), (uint)(before >> 32));
    }

    private static Vector256<byte> Spread(byte* codes, uint salient, uint before)
    {
        Vector256<ulong> source = Vector256.Create(
            *(ulong*)(codes + (before & 0xFF)), *(ulong*)(codes + (before >> 8 & 0xFF)),
            *(ulong*)(codes + (before >> 16 & 0xFF)), *(ulong*)(codes + (before >> 24)));
        Vector256<ulong> shuffle = Vector256.Create(
            s_spread[salient & 0xFF], s_spread[256 + (salient >> 8 & 0xFF)], s_spread[salient >> 16 & 0xFF], s_spread[256 + (salient >> 24)]);
        return Avx2.Shuffle(source.AsByte(), shuffle.AsByte());
    }

    // Entry m: byte j is the number of bits of m below bit j if that is set, else 128, which gives zero.
    // The second half is for codes in the upper eight bytes of a lane.
    private static ulong* SpreadTable()
    {
        ulong* table = (ulong*)NativeMemory.AlignedAlloc(512 * sizeof(ulong), 64);
        for (int mask = 0; mask < 256; mask++)
        {
            ulong entry = 0;
            for (int j = 0; j < 8; j++)
            {
                int index = (mask >> j & 1) != 0 ? BitOperations.PopCount((uint)mask & ((1u << j) - 1)) : 128;
                entry |= (ulong)index << 8 * j;
            }
            table[mask] = entry;
            table[256 + mask] = entry + 0x0808080808080808;
        }
        return table;
    }
}
