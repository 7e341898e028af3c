using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// 64 weights of a row a step. The sums over bit masks are sums of bytes x + 128 ≥ 0 (vpsadbw), three of them in one 64-bit
/// lane as 16-bit fields; 128 times the number of bits is taken off at the end. Codes are spread to the places of their
/// weights by vpexpandb. Needs AVX-512 VBMI2 (Ice Lake, Zen 4).
/// </summary>
internal readonly unsafe struct EightBitProductAvx512 : IEightBitProduct
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi2.IsSupported;

    public static void Run(in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results)
    {
        // One variant for each form of code, so that the loop over blocks has no branches.
        if (rows.LowBits == 1 && rows.RestBits > 0) Run(rows, firstRow, codes, x, scales, sums, results, 1, false, true);
        else if (rows.LowBits == 2) Run(rows, firstRow, codes, x, scales, sums, results, 2, false, rows.RestBits > 0);
        else Run(rows, firstRow, codes, x, scales, sums, results, rows.LowBits, rows.RestBits == 8, rows.RestBits > 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run(
        in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results, int lowBits, bool wideCodes, bool hasRest)
    {
        const int Rows = IEightBitProduct.Rows;
        byte* memory = stackalloc byte[2 * Rows * 64 + Rows * sizeof(ulong) + 64];
        Vector512<ulong>* fields = (Vector512<ulong>*)(((nint)memory + 63) & ~63);
        Vector512<int>* products = (Vector512<int>*)(fields + Rows);
        ulong* counts = (ulong*)(products + Rows);
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

        Vector512<byte> byteOfLane = Vector512.Create(
            Vector256.Create(Vector128.Create(0x0000000000000000UL, 0x0101010101010101), Vector128.Create(0x0202020202020202UL, 0x0303030303030303)),
            Vector256.Create(Vector128.Create(0x0404040404040404UL, 0x0505050505050505), Vector128.Create(0x0606060606060606UL, 0x0707070707070707))).AsByte();
        Vector512<byte> bitOfLane = Vector512.Create(0x8040201008040201UL).AsByte();
        Vector512<byte> offset = Vector512.Create((byte)128);
        Vector512<short> ones = Vector512<short>.One;
        EightBitBlocks blocks = new(rows, firstRow);
        for (int b = 0; b < words; b++)
        {
            Vector512<sbyte> values = Vector512.Load(x + 64 * b);
            Vector512<byte> shifted = values.AsByte() ^ offset;
            for (int i = 0; i < Rows; i++)
            {
                ulong salient = positions[i][b];
                Vector512<byte> salientLanes = Vector512.Equals(Avx512BW.Shuffle(Vector512.Create(salient).AsByte(), byteOfLane) & bitOfLane, bitOfLane);
                Vector512<byte> high = Vector512.ConditionalSelect(salientLanes, shifted, Vector512<byte>.Zero);
                Vector512<ulong> field = Vector512.ShiftLeft(Sum(high), 32);
                ulong count = (ulong)BitOperations.PopCount(salient) << 32;
                for (int plane = 0; plane < lowBits; plane++)
                {
                    ulong bits = low[i][plane * words + b];
                    Vector512<byte> bitLanes = Vector512.Equals(Avx512BW.Shuffle(Vector512.Create(bits).AsByte(), byteOfLane) & bitOfLane, bitOfLane);
                    Vector512<ulong> all = Sum(Vector512.ConditionalSelect(bitLanes, shifted, Vector512<byte>.Zero));
                    Vector512<ulong> both = Sum(Vector512.ConditionalSelect(bitLanes, high, Vector512<byte>.Zero));
                    field += Vector512.ShiftLeft(all, plane) + Vector512.ShiftLeft(both, 16 + plane);
                    count += ((ulong)BitOperations.PopCount(bits) << plane) + ((ulong)BitOperations.PopCount(bits & salient) << (16 + plane));
                }
                fields[i] = field;
                counts[i] = count;
                if (!hasRest) continue;
                Vector512<byte> spread = Avx512Vbmi2.Expand(Vector512<byte>.Zero, salientLanes, Vector512.Load(cursors[i]));
                cursors[i] += BitOperations.PopCount(salient);
                products[i] = wideCodes ? WideProduct(spread, values) : Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(spread, values), ones);
            }
            Vector512<ushort> corrected = SumLanes(fields).AsUInt16() - Vector512.ShiftLeft(Vector512.LoadAligned(counts).AsUInt16(), 7);
            Vector256<int> lower = Avx512F.ConvertToVector256Int32(corrected.AsInt64());
            Vector256<int> upper = Avx512F.ConvertToVector256Int32(Vector512.ShiftRightLogical(corrected.AsInt64(), 32));
            blocks.Add(
                b, Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(lower, 16), 16), Vector256.ShiftRightArithmetic(lower, 16),
                Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(upper, 16), 16), hasRest ? SumLanes(products) : default, sums[b], scales[b]);
        }
        blocks.Results.Store(results);
    }

    private static Vector512<ulong> Sum(Vector512<byte> bytes) => Avx512BW.SumAbsoluteDifferences(bytes, Vector512<byte>.Zero).AsUInt64();

    // Two products of 8-bit codes may exceed 16 bits; one does not.
    private static Vector512<int> WideProduct(Vector512<byte> codes, Vector512<sbyte> values)
    {
        Vector512<sbyte> even = values & Vector512.Create((short)0x00FF).AsSByte(), odd = values & Vector512.Create(unchecked((short)0xFF00)).AsSByte();
        return Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, even), Vector512<short>.One)
            + Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, odd), Vector512<short>.One);
    }

    // Lane i of the result is the sum of vector i.
    private static Vector512<ulong> SumLanes(Vector512<ulong>* v)
    {
        Vector512<ulong> v01 = Avx512F.UnpackLow(v[0], v[1]) + Avx512F.UnpackHigh(v[0], v[1]);
        Vector512<ulong> v23 = Avx512F.UnpackLow(v[2], v[3]) + Avx512F.UnpackHigh(v[2], v[3]);
        Vector512<ulong> v45 = Avx512F.UnpackLow(v[4], v[5]) + Avx512F.UnpackHigh(v[4], v[5]);
        Vector512<ulong> v67 = Avx512F.UnpackLow(v[6], v[7]) + Avx512F.UnpackHigh(v[6], v[7]);
        Vector512<ulong> v0123 = Avx512F.Shuffle4x128(v01, v23, 0x88) + Avx512F.Shuffle4x128(v01, v23, 0xDD);
        Vector512<ulong> v4567 = Avx512F.Shuffle4x128(v45, v67, 0x88) + Avx512F.Shuffle4x128(v45, v67, 0xDD);
        return Avx512F.Shuffle4x128(v0123, v4567, 0x88) + Avx512F.Shuffle4x128(v0123, v4567, 0xDD);
    }

    private static Vector256<int> SumLanes(Vector512<int>* v)
    {
        Vector512<long> v01 = (Avx512F.UnpackLow(v[0], v[1]) + Avx512F.UnpackHigh(v[0], v[1])).AsInt64();
        Vector512<long> v23 = (Avx512F.UnpackLow(v[2], v[3]) + Avx512F.UnpackHigh(v[2], v[3])).AsInt64();
        Vector512<long> v45 = (Avx512F.UnpackLow(v[4], v[5]) + Avx512F.UnpackHigh(v[4], v[5])).AsInt64();
        Vector512<long> v67 = (Avx512F.UnpackLow(v[6], v[7]) + Avx512F.UnpackHigh(v[6], v[7])).AsInt64();
        Vector512<int> v0123 = Avx512F.UnpackLow(v01, v23).AsInt32() + Avx512F.UnpackHigh(v01, v23).AsInt32();
        Vector512<int> v4567 = Avx512F.UnpackLow(v45, v67).AsInt32() + Avx512F.UnpackHigh(v45, v67).AsInt32();
        Vector512<int> half = Avx512F.Shuffle4x128(v0123, v4567, 0x88) + Avx512F.Shuffle4x128(v0123, v4567, 0xDD);
        return (Avx512F.Shuffle4x128(half, half, 0x88) + Avx512F.Shuffle4x128(half, half, 0xDD)).GetLower();
    }
}
