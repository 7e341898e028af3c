using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// As <see cref="TileProductAvx512"/>, four rows a vector. Sums over the ones of a low plane are sums of bytes x + 128 ≥ 0 (vpsadbw); the
/// activations of salient weights are fetched from four tables of 16 by byte shuffles.
/// </summary>
internal readonly unsafe struct TileProductAvx2 : ITileProduct
{
    public static bool TakesTables => false;

    public static void Run(in PackedRows rows, byte* record, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results)
    {
        switch (rows.LowBits)
        {
            case 0: Run<NoLowPlane>(rows, record, firstRow, x, scales, sums, results); break;
            case 1: Run<OneLowPlane>(rows, record, firstRow, x, scales, sums, results); break;
            default: Run<TwoLowPlanes>(rows, record, firstRow, x, scales, sums, results); break;
        }
    }

    private static void Run<TPlanes>(in PackedRows rows, byte* record, int firstRow, sbyte* x, float* scales, int* sums, float* results)
        where TPlanes : struct, ILowPlanes
    {
        bool wide = rows.RestBits == 8;
        Vector128<int> restBits = Vector128.CreateScalar(rows.RestBits);
        Vector256<float> y = default;
        for (int b = 0; b < rows.Words;)
        {
            TileScales scale = TileScales.Load(rows, firstRow, b);
            for (; b < scale.EndBlock; b++, x += 64)
            {
                byte* counts = record;
                record += RowTiles.Rows;
                Vector256<int> all = default;
                if (TPlanes.Count > 0) all = Plane(record, x);
                if (TPlanes.Count > 1) all += Vector256.ShiftLeft(Plane(record + RowTiles.PlaneBytes, x), 1);
                record += RowTiles.PlaneBytes * TPlanes.Count;

                Vector256<byte> bytes = Vector256.Create(*(long*)counts).AsByte();
                Vector256<sbyte> counts0 = Avx2.Shuffle(bytes, RowOfLane(0)).AsSByte(), counts1 = Avx2.Shuffle(bytes, RowOfLane(4)).AsSByte();
                Vector256<sbyte> place = Vector256.Create(0x0706050403020100UL).AsSByte();
                Vector256<int> rest0 = default, rest1 = default;
                Vector256<short> high0 = default, high1 = default, both0 = default, both1 = default;
                for (int first = 0; ; first += 8)
                {
                    Vector256<sbyte> isThere0 = Avx2.CompareGreaterThan(counts0, place), isThere1 = Avx2.CompareGreaterThan(counts1, place);
                    Vector256<byte> places0 = Gather(counts, first, ref record), places1 = Gather(counts + 4, first, ref record);
                    Vector256<byte> codes0 = Gather(counts, first, ref record), codes1 = Gather(counts + 4, first, ref record);
                    Four<TPlanes>(places0, codes0, isThere0.AsByte(), x, wide, ref rest0, ref high0, ref both0);
                    Four<TPlanes>(places1, codes1, isThere1.AsByte(), x, wide, ref rest1, ref high1, ref both1);
                    // A row whose eighth place was taken may have more.
                    if (((isThere0 | isThere1).ExtractMostSignificantBits() & 0x80808080) == 0) break;
                    place += Vector256.Create((sbyte)8);
                }
                y += scale.Apply(TPlanes.Count, restBits, all, TPlanes.Count == 0 ? default : OfRows(both0, both1), OfRows(high0, high1), OfRows(rest0, rest1), sums[b], scales[b]);
            }
        }
        y.Store(results);
    }

    // For each of eight rows the sum of the activations where the plane has ones.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Plane(byte* plane, sbyte* x)
    {
        Vector256<byte> offset = Vector256.Create((byte)128), x0 = Vector256.Load(x).AsByte() ^ offset, x1 = Vector256.Load(x + 32).AsByte() ^ offset;
        ulong* words = (ulong*)plane;
        Vector256<ulong> rows0 = Transposed(Row(words, x0, x1), Row(words + 1, x0, x1), Row(words + 2, x0, x1), Row(words + 3, x0, x1));
        Vector256<ulong> rows1 = Transposed(Row(words + 4, x0, x1), Row(words + 5, x0, x1), Row(words + 6, x0, x1), Row(words + 7, x0, x1));
        Vector256<int> ones = Vector256.Create(
            BitOperations.PopCount(words[0]), BitOperations.PopCount(words[1]), BitOperations.PopCount(words[2]), BitOperations.PopCount(words[3]),
            BitOperations.PopCount(words[4]), BitOperations.PopCount(words[5]), BitOperations.PopCount(words[6]), BitOperations.PopCount(words[7]));
        return Vector256.Narrow(rows0, rows1).AsInt32() - Vector256.ShiftLeft(ones, 7);
    }

    // Bit j of byte i belongs to column 8 j + i: the word in four lanes, a bit of its own in each.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Row(ulong* word, Vector256<byte> x0, Vector256<byte> x1)
    {
        Vector256<byte> bits0 = Vector256.Create(0x0101010101010101UL, 0x0202020202020202, 0x0404040404040404, 0x0808080808080808).AsByte();
        Vector256<byte> bits1 = Vector256.Create(0x1010101010101010UL, 0x2020202020202020, 0x4040404040404040, 0x8080808080808080).AsByte();
        Vector256<byte> broadcast = Vector256.Create(*word).AsByte();
        Vector256<byte> chosen0 = Vector256.Equals(broadcast & bits0, bits0) & x0, chosen1 = Vector256.Equals(broadcast & bits1, bits1) & x1;
        return Sum(chosen0) + Sum(chosen1);
    }

    private static Vector256<ulong> Sum(Vector256<byte> bytes) => Avx2.SumAbsoluteDifferences(bytes, Vector256<byte>.Zero).AsUInt64();

    // The sums of four vectors.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Transposed(Vector256<ulong> v0, Vector256<ulong> v1, Vector256<ulong> v2, Vector256<ulong> v3)
    {
        Vector256<ulong> v01 = Avx2.UnpackLow(v0, v1) + Avx2.UnpackHigh(v0, v1), v23 = Avx2.UnpackLow(v2, v3) + Avx2.UnpackHigh(v2, v3);
        return Avx2.Permute2x128(v01, v23, 0x20) + Avx2.Permute2x128(v01, v23, 0x31);
    }

    private static Vector256<byte> RowOfLane(int first) => Vector256.Create(
        0x0101010101010101UL * (ulong)first, 0x0101010101010101UL * (ulong)(first + 1), 0x0101010101010101UL * (ulong)(first + 2), 0x0101010101010101UL * (ulong)(first + 3)).AsByte();

    // Up to eight bytes of each of four rows, a 64-bit lane a row; what lies behind the row's last one is of others.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Gather(byte* counts, int first, ref byte* record)
    {
        ulong row0 = Next(counts[0] - first, ref record), row1 = Next(counts[1] - first, ref record);
        ulong row2 = Next(counts[2] - first, ref record), row3 = Next(counts[3] - first, ref record);
        return Vector256.Create(row0, row1, row2, row3).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Next(int left, ref byte* record)
    {
        ulong bytes = *(ulong*)record;
        record += System.Math.Clamp(left, 0, 8);
        return bytes;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four<TPlanes>(
        Vector256<byte> places, Vector256<byte> codes, Vector256<byte> isThere, sbyte* x, bool wide, ref Vector256<int> rest, ref Vector256<short> high, ref Vector256<short> both)
        where TPlanes : struct, ILowPlanes
    {
        Vector256<byte> index = (places & Vector256.Create((byte)63)) | ~isThere;
        Vector256<sbyte> fetched = (Sixteen(index, x, 0) | Sixteen(index, x, 1)) | (Sixteen(index, x, 2) | Sixteen(index, x, 3));
        codes &= isThere;
        if (TPlanes.Count == 0 && wide)
        {
            // Two products of 8-bit codes may exceed 16 bits; one does not.
            rest += Pairs(Avx2.MultiplyAddAdjacent(codes, fetched & Vector256.Create((short)0x00FF).AsSByte()))
                + Pairs(Avx2.MultiplyAddAdjacent(codes, fetched & Vector256.Create(unchecked((short)0xFF00)).AsSByte()));
        }
        else
        {
            rest += Pairs(Avx2.MultiplyAddAdjacent(codes, fetched));
        }
        high += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, fetched);
        if (TPlanes.Count > 0) both += Avx2.MultiplyAddAdjacent(Vector256.ShiftRightLogical(places.AsUInt16(), 6).AsByte() & Vector256.Create((byte)(TPlanes.Count == 1 ? 1 : 3)), fetched);
    }

    // The activations of the places 16 k to 16 k + 15, zero for all others: those have an upper bit of the index set.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Sixteen(Vector256<byte> index, sbyte* x, int k)
    {
        Vector128<byte> table = Vector128.Load((byte*)x + 16 * k);
        return Avx2.Shuffle(Vector256.Create(table, table), Avx2.AddSaturate(index ^ Vector256.Create((byte)(16 * k)), Vector256.Create((byte)0x70))).AsSByte();
    }

    private static Vector256<int> Pairs(Vector256<short> sums) => Avx2.MultiplyAddAdjacent(sums, Vector256<short>.One);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> OfRows(Vector256<short> rows0, Vector256<short> rows1) => OfRows(Pairs(rows0), Pairs(rows1));

    // The sums of the two halves of 64-bit lanes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> OfRows(Vector256<int> rows0, Vector256<int> rows1)
    {
        Vector256<ulong> sum0 = (rows0 + Vector256.ShiftRightLogical(rows0.AsUInt64(), 32).AsInt32()).AsUInt64(), sum1 = (rows1 + Vector256.ShiftRightLogical(rows1.AsUInt64(), 32).AsInt32()).AsUInt64();
        return Vector256.Narrow(sum0, sum1).AsInt32();
    }
}
