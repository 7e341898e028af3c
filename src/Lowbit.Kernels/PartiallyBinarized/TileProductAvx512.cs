using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The product of <see cref="EightBitProduct"/> from <see cref="RowTiles"/>, eight rows and 64 columns a step. Sums over the ones of a
/// low plane are looked up in <see cref="SumTables"/> (vpermi2b), four weights at a time, and added up over the bytes of a row by vpsadbw.
/// Salient weights come eight of each row at a time: vpexpandb gives every row a 64-bit lane, vpermb fetches their activations, and
/// their products stay in the lanes of their rows. Needs AVX-512 with VBMI2 (Ice Lake, Zen 4).
/// </summary>
internal readonly unsafe struct TileProductAvx512 : ITileProduct
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi.IsSupported && Avx512Vbmi2.IsSupported;

    public static bool TakesTables => true;

    public static void Run(in PackedRows rows, byte* record, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results)
    {
        switch (rows.LowBits)
        {
            case 0 when rows.RestBits == 8: Run<NoLowPlane, Wide>(rows, record, firstRow, x, tables, scales, sums, results); break;
            case 0: Run<NoLowPlane, Narrow>(rows, record, firstRow, x, tables, scales, sums, results); break;
            case 1: Run<OneLowPlane, Narrow>(rows, record, firstRow, x, tables, scales, sums, results); break;
            default: Run<TwoLowPlanes, Narrow>(rows, record, firstRow, x, tables, scales, sums, results); break;
        }
    }

    private static void Run<TPlanes, TCodes>(in PackedRows rows, byte* record, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results)
        where TPlanes : struct, ILowPlanes
        where TCodes : struct, ICodeProduct
    {
        Vector128<int> restBits = Vector128.CreateScalar(rows.RestBits);
        Vector512<byte> placeInRow = Vector512.Create(0x0706050403020100UL).AsByte();
        Vector512<byte> rowOfLane = Vector512.Create(
            0x0000000000000000UL, 0x0101010101010101UL, 0x0202020202020202UL, 0x0303030303030303UL, 0x0404040404040404UL, 0x0505050505050505UL, 0x0606060606060606UL, 0x0707070707070707UL).AsByte();
        const ulong lastOfRows = 0x8080808080808080;
        Vector256<float> y = default;
        for (int b = 0; b < rows.Words;)
        {
            TileScales scale = TileScales.Load(rows, firstRow, b);
            for (; b < scale.EndBlock; b++, x += 64, tables += SumTables.BlockBytes)
            {
                // Eight plain variables, which stay in registers; the fields of a struct do not.
                Vector512<byte> lower00 = Vector512.Load(tables), lower01 = Vector512.Load(tables + 64), upper00 = Vector512.Load(tables + 128), upper01 = Vector512.Load(tables + 192);
                Vector512<byte> lower10 = Vector512.Load(tables + 256), lower11 = Vector512.Load(tables + 320), upper10 = Vector512.Load(tables + 384), upper11 = Vector512.Load(tables + 448);
                Vector256<int> all = default;
                if (TPlanes.Count > 0) all = Sum(Vector512.Load(record + RowTiles.Rows), lower00, lower01, upper00, upper01, lower10, lower11, upper10, upper11);
                if (TPlanes.Count > 1) all += Vector256.ShiftLeft(Sum(Vector512.Load(record + RowTiles.Rows + RowTiles.PlaneBytes), lower00, lower01, upper00, upper01, lower10, lower11, upper10, upper11), 1);
                Vector512<byte> counts = Avx512BW.Shuffle(Vector512.Create(*(long*)record).AsByte(), rowOfLane), place = placeInRow;
                Vector512<sbyte> activations = Vector512.Load(x);
                record += RowTiles.Rows + RowTiles.PlaneBytes * TPlanes.Count;
                Vector512<int> rest = default;
                Vector512<short> high = default, both = default;
                ulong taken = Eight<TPlanes, TCodes>(counts, place, activations, ref record, ref rest, ref high, ref both);
                do
                {
                    place += Vector512.Create((byte)8);
                    taken = Eight<TPlanes, TCodes>(counts, place, activations, ref record, ref rest, ref high, ref both);
                }
                while ((taken & lastOfRows) != 0); // a row whose eighth place was taken may have more
                y += scale.Apply(TPlanes.Count, restBits, all, TPlanes.Count == 0 ? default : OfRows(both), OfRows(high), OfRows(rest), sums[b], scales[b]);
            }
        }
        y.Store(results);
    }

    // Adds the products of up to eight salient weights of each row; gives the bytes that held any.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Eight<TPlanes, TCodes>(
        Vector512<byte> counts, Vector512<byte> place, Vector512<sbyte> x, ref byte* record, ref Vector512<int> rest, ref Vector512<short> high, ref Vector512<short> both)
        where TPlanes : struct, ILowPlanes
        where TCodes : struct, ICodeProduct
    {
        Vector512<byte> isThere = Vector512.LessThan(place, counts);
        ulong taken = isThere.ExtractMostSignificantBits();
        int number = BitOperations.PopCount(taken);
        Vector512<byte> places = Avx512Vbmi2.Expand(Vector512<byte>.Zero, isThere, Vector512.Load(record));
        Vector512<byte> codes = Avx512Vbmi2.Expand(Vector512<byte>.Zero, isThere, Vector512.Load(record + number));
        record += 2 * number;
        Vector512<sbyte> fetched = Vector512.ConditionalSelect(isThere.AsSByte(), Avx512Vbmi.PermuteVar64x8(x, places.AsSByte()), Vector512<sbyte>.Zero);
        rest += TCodes.Multiply(codes, fetched);
        high += Avx512BW.MultiplyAddAdjacent(Vector512<byte>.One, fetched);
        if (TPlanes.Count > 0) both += Avx512BW.MultiplyAddAdjacent(Vector512.ShiftRightLogical(places.AsUInt16(), 6).AsByte() & Vector512.Create((byte)(TPlanes.Count == 1 ? 1 : 3)), fetched);
        return taken;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> OfRows(Vector512<short> pairs) => OfRows(Avx512BW.MultiplyAddAdjacent(pairs, Vector512<short>.One));

    // The sums of the two halves of 64-bit lanes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> OfRows(Vector512<int> halves) =>
        Avx512F.ConvertToVector256Int32((halves + Vector512.ShiftRightLogical(halves.AsUInt64(), 32).AsInt32()).AsInt64());

    private interface ICodeProduct
    {
        static abstract Vector512<int> Multiply(Vector512<byte> codes, Vector512<sbyte> x);
    }

    private readonly struct Narrow : ICodeProduct
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<int> Multiply(Vector512<byte> codes, Vector512<sbyte> x) =>
            Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(codes, x), Vector512<short>.One);
    }

    // Two products of 8-bit codes may exceed 16 bits; one does not.
    private readonly struct Wide : ICodeProduct
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<int> Multiply(Vector512<byte> codes, Vector512<sbyte> x) =>
            Narrow.Multiply(codes, x & Vector512.Create((short)0x00FF).AsSByte()) + Narrow.Multiply(codes, x & Vector512.Create(unchecked((short)0xFF00)).AsSByte());
    }

    // For each of eight rows the sum of the activations where the plane has ones.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Sum(
        Vector512<byte> plane, Vector512<byte> lower00, Vector512<byte> lower01, Vector512<byte> upper00, Vector512<byte> upper01,
        Vector512<byte> lower10, Vector512<byte> lower11, Vector512<byte> upper10, Vector512<byte> upper11)
    {
        Vector512<byte> column = Vector512.Create(0x0706050403020100UL).AsByte(), nibble = Vector512.Create((byte)0x78);
        Vector512<byte> index0 = (Vector512.ShiftLeft(plane.AsUInt16(), 3).AsByte() & nibble) | column;
        Vector512<byte> index1 = (Vector512.ShiftRightLogical(plane.AsUInt16(), 1).AsByte() & nibble) | column;
        Vector512<byte> upper = Avx512Vbmi.PermuteVar64x8x2(upper00, index0, upper01) + Avx512Vbmi.PermuteVar64x8x2(upper10, index1, upper11);
        Vector512<ulong> sum = Bytes(Avx512Vbmi.PermuteVar64x8x2(lower00, index0, lower01)) + Bytes(Avx512Vbmi.PermuteVar64x8x2(lower10, index1, lower11));
        sum += Vector512.ShiftLeft(Bytes(upper), 8);
        return Avx512F.ConvertToVector256Int32(sum) - Vector256.Create(SumTables.Offset);
    }

    private static Vector512<ulong> Bytes(Vector512<byte> bytes) => Avx512BW.SumAbsoluteDifferences(bytes, Vector512<byte>.Zero).AsUInt64();
}
