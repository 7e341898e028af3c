using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// 64 weights of a row a step. Bits become bytes of ones by an affine map (vgf2p8affineqb). The sums over bit masks are sums
/// of bytes x + 128 ≥ 0 (vpsadbw), three of them in one 64-bit lane as 16-bit fields. Codes are spread to the places of their
/// weights by vpexpandb. Needs AVX-512 with VBMI2 and GFNI (Ice Lake, Zen 4).
/// </summary>
internal readonly unsafe struct EightBitProductAvx512 : IEightBitProduct
{
    public static bool IsSupported =>
        Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi2.IsSupported && Gfni.V512.IsSupported;

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
        long words = rows.Words;
        bool wide = rows.RestBits == 8;
        ulong* row0 = tile.Positions[0], row1 = tile.Positions[1], row2 = tile.Positions[2], row3 = tile.Positions[3];
        ulong* row4 = tile.Positions[4], row5 = tile.Positions[5], row6 = tile.Positions[6], row7 = tile.Positions[7];
        ulong* low0 = tile.Low[0], low1 = tile.Low[1], low2 = tile.Low[2], low3 = tile.Low[3];
        ulong* low4 = tile.Low[4], low5 = tile.Low[5], low6 = tile.Low[6], low7 = tile.Low[7];
        byte* codes0 = tile.Codes[0], codes1 = tile.Codes[1], codes2 = tile.Codes[2], codes3 = tile.Codes[3];
        byte* codes4 = tile.Codes[4], codes5 = tile.Codes[5], codes6 = tile.Codes[6], codes7 = tile.Codes[7];
        Vector128<int> restBits = Vector128.CreateScalar(rows.RestBits);
        Vector256<float> y = default;
        for (int b = 0; b < words;)
        {
            TileScales tables = TileScales.Load(rows, tile, b);
            for (; b < tables.EndBlock; b++)
            {
                Vector512<sbyte> values = Vector512.Load(x + 64L * b);
                Vector512<ulong> field0 = Row<TPlanes>(row0 + b, low0 + b, words, values, wide, ref codes0, out Vector512<int> rest0, out ulong count0);
                Vector512<ulong> field1 = Row<TPlanes>(row1 + b, low1 + b, words, values, wide, ref codes1, out Vector512<int> rest1, out ulong count1);
                Vector512<ulong> field2 = Row<TPlanes>(row2 + b, low2 + b, words, values, wide, ref codes2, out Vector512<int> rest2, out ulong count2);
                Vector512<ulong> field3 = Row<TPlanes>(row3 + b, low3 + b, words, values, wide, ref codes3, out Vector512<int> rest3, out ulong count3);
                Vector512<ulong> fields0123 = SumFour(field0, field1, field2, field3);
                Vector512<int> rests0123 = SumFour(rest0, rest1, rest2, rest3);
                Vector512<ulong> field4 = Row<TPlanes>(row4 + b, low4 + b, words, values, wide, ref codes4, out Vector512<int> rest4, out ulong count4);
                Vector512<ulong> field5 = Row<TPlanes>(row5 + b, low5 + b, words, values, wide, ref codes5, out Vector512<int> rest5, out ulong count5);
                Vector512<ulong> field6 = Row<TPlanes>(row6 + b, low6 + b, words, values, wide, ref codes6, out Vector512<int> rest6, out ulong count6);
                Vector512<ulong> field7 = Row<TPlanes>(row7 + b, low7 + b, words, values, wide, ref codes7, out Vector512<int> rest7, out ulong count7);
                Vector512<ulong> fields4567 = SumFour(field4, field5, field6, field7);
                Vector512<int> rests4567 = SumFour(rest4, rest5, rest6, rest7);

                Vector512<ulong> fields = Avx512F.Shuffle4x128(fields0123, fields4567, 0x88) + Avx512F.Shuffle4x128(fields0123, fields4567, 0xDD);
                Vector512<int> rests = Avx512F.Shuffle4x128(rests0123, rests4567, 0x88) + Avx512F.Shuffle4x128(rests0123, rests4567, 0xDD);
                rests = Avx512F.Shuffle4x128(rests, rests, 0x88) + Avx512F.Shuffle4x128(rests, rests, 0xDD);
                Vector512<ushort> corrected = fields.AsUInt16() - Vector512.ShiftLeft(Vector512.Create(count0, count1, count2, count3, count4, count5, count6, count7).AsUInt16(), 7);
                Vector256<int> lower = Avx512F.ConvertToVector256Int32(corrected.AsInt64());
                Vector256<int> upper = Avx512F.ConvertToVector256Int32(Vector512.ShiftRightArithmetic(corrected.AsInt64(), 48));
                y += tables.Apply(
                    TPlanes.Count, restBits, Vector256.ShiftRightArithmetic(Vector256.ShiftLeft(lower, 16), 16), Vector256.ShiftRightArithmetic(lower, 16),
                    upper, rests.GetLower(), sums[b], scales[b]);
            }
        }
        y.Store(results);
    }

    // The fields all, both and high of one row in eight partial sums, the products of its codes in sixteen, and its numbers of bits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Row<TPlanes>(
        ulong* positions, ulong* low, long words, Vector512<sbyte> values, bool wide, ref byte* codes, out Vector512<int> rest, out ulong count)
        where TPlanes : struct, ILowPlanes
    {
        Vector512<byte> salient = Lanes(positions);
        Vector512<byte> shifted = values.AsByte() ^ Vector512.Create((byte)128);
        Vector512<byte> high = salient & shifted;
        Vector512<ulong> fields = Vector512.ShiftLeft(Sum(high), 48);
        if (TPlanes.Count > 0)
        {
            Vector512<byte> bits = Lanes(low);
            fields += Sum(bits & shifted) + Vector512.ShiftLeft(Sum(bits & high), 16);
        }
        if (TPlanes.Count > 1)
        {
            Vector512<byte> bits = Lanes(low + words);
            fields += Vector512.ShiftLeft(Sum(bits & shifted), 1) + Vector512.ShiftLeft(Sum(bits & high), 17);
        }
        Vector512<byte> spread = Avx512Vbmi2.Expand(Vector512<byte>.Zero, salient, Vector512.Load(codes));
        count = BitCounts.Fields<TPlanes>(*positions, low, words);
        codes += count >> 48;
        Vector512<short> ones = Vector512<short>.One;
        if (TPlanes.Count == 0 && wide)
        {
            // Two products of 8-bit codes may exceed 16 bits; one does not.
            Vector512<sbyte> even = values & Vector512.Create((short)0x00FF).AsSByte(), odd = values & Vector512.Create(unchecked((short)0xFF00)).AsSByte();
            rest = Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(spread, even), ones) + Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(spread, odd), ones);
        }
        else
        {
            rest = Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(spread, values), ones);
        }
        return fields;
    }

    // Byte i is all ones if bit i is set: with all rows of the 8 x 8 matrix equal to the byte of the word that holds bit i,
    // the map of 1 << i % 8 copies that bit to all places.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Lanes(ulong* bits)
    {
        Vector512<byte> byteOfLane = Vector512.Create(
            0x0000000000000000UL, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303,
            0x0404040404040404, 0x0505050505050505, 0x0606060606060606, 0x0707070707070707).AsByte();
        Vector512<byte> bitOfLane = Vector512.Create(0x8040201008040201UL).AsByte();
        // As a double, because only then the word is broadcast straight from memory.
        Vector512<byte> word = Vector512.Create(*(double*)bits).AsByte();
        return Gfni.V512.GaloisFieldAffineTransform(bitOfLane, Avx512BW.Shuffle(word, byteOfLane), 0);
    }

    private static Vector512<ulong> Sum(Vector512<byte> bytes) => Avx512BW.SumAbsoluteDifferences(bytes, Vector512<byte>.Zero).AsUInt64();

    // Partial sums of four rows: (0 1) (0 1) (2 3) (2 3), each pair in a 128-bit lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> SumFour(Vector512<ulong> v0, Vector512<ulong> v1, Vector512<ulong> v2, Vector512<ulong> v3)
    {
        Vector512<ulong> v01 = Avx512F.UnpackLow(v0, v1) + Avx512F.UnpackHigh(v0, v1), v23 = Avx512F.UnpackLow(v2, v3) + Avx512F.UnpackHigh(v2, v3);
        return Avx512F.Shuffle4x128(v01, v23, 0x88) + Avx512F.Shuffle4x128(v01, v23, 0xDD);
    }

    // Partial sums of four rows: (0 1 2 3) in each 128-bit lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> SumFour(Vector512<int> v0, Vector512<int> v1, Vector512<int> v2, Vector512<int> v3)
    {
        Vector512<long> v01 = (Avx512F.UnpackLow(v0, v1) + Avx512F.UnpackHigh(v0, v1)).AsInt64(), v23 = (Avx512F.UnpackLow(v2, v3) + Avx512F.UnpackHigh(v2, v3)).AsInt64();
        return Avx512F.UnpackLow(v01, v23).AsInt32() + Avx512F.UnpackHigh(v01, v23).AsInt32();
    }
}
