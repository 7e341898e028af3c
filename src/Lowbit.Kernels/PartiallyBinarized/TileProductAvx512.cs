using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The sums of <see cref="IEightBitProduct"/> from <see cref="RowTiles"/>, eight rows and 64 columns a step. Sums over the ones of a
/// plane are looked up in <see cref="SumTables"/> (vpermi2b) four weights at a time and added up over the bytes of a row by vpsadbw. Codes
/// are spread to the places of eight columns of all rows by vpexpandb, so that their products stay in the lanes of their rows and nothing
/// is added across lanes before the end of the block. Needs AVX-512 with VBMI2 (Ice Lake, Zen 4).
/// </summary>
internal static unsafe class TileProductAvx512
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi.IsSupported && Avx512Vbmi2.IsSupported;

    /// <summary>Multiplies the rows of a tile with one token.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="records">The tile's records.</param>
    /// <param name="firstRow">First row of the tile.</param>
    /// <param name="x">[words · 64] activations.</param>
    /// <param name="tables">[words] tables of the activations.</param>
    /// <param name="scales">[words] scales of the activations.</param>
    /// <param name="sums">[words] sums of the activations.</param>
    /// <param name="results">[8].</param>
    public static void Run(in PackedRows rows, byte* records, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results)
    {
        switch (rows.LowBits)
        {
            case 0 when rows.RestBits == 8: Run<NoLowPlane, Wide>(rows, records, firstRow, x, tables, scales, sums, results); break;
            case 0: Run<NoLowPlane, Narrow>(rows, records, firstRow, x, tables, scales, sums, results); break;
            case 1: Run<OneLowPlane, Narrow>(rows, records, firstRow, x, tables, scales, sums, results); break;
            default: Run<TwoLowPlanes, Narrow>(rows, records, firstRow, x, tables, scales, sums, results); break;
        }
    }

    private static void Run<TPlanes, TCodes>(in PackedRows rows, byte* record, int firstRow, sbyte* x, byte* tables, float* scales, int* sums, float* results)
        where TPlanes : struct, ILowPlanes
        where TCodes : struct, ICodeProduct
    {
        Vector128<int> restBits = Vector128.CreateScalar(rows.RestBits);
        Vector256<float> y = default;
        for (int b = 0; b < rows.Words;)
        {
            TileScales scale = TileScales.Load(rows, firstRow, b);
            for (; b < scale.EndBlock; b++, x += 64, tables += SumTables.BlockBytes)
            {
                Tables lookUp = new(tables);
                Vector512<byte> others = Vector512.Load(record);
                Vector256<int> low = lookUp.Sum(others), all = default, both = default;
                if (TPlanes.Count > 0)
                {
                    Vector512<byte> plane = Vector512.Load(record + RowTiles.PlaneBytes);
                    all = lookUp.Sum(plane);
                    both = all - lookUp.Sum(plane & others);
                }
                if (TPlanes.Count > 1)
                {
                    Vector512<byte> plane = Vector512.Load(record + 2 * RowTiles.PlaneBytes);
                    Vector256<int> second = lookUp.Sum(plane);
                    all += Vector256.ShiftLeft(second, 1);
                    both += Vector256.ShiftLeft(second - lookUp.Sum(plane & others), 1);
                }
                record += RowTiles.PlaneBytes * (1 + TPlanes.Count);
                Vector512<int> rest = default;
                rest = Step<TCodes>(rest, others, 1, x, ref record);
                rest = Step<TCodes>(rest, others, 2, x + 8, ref record);
                rest = Step<TCodes>(rest, others, 4, x + 16, ref record);
                rest = Step<TCodes>(rest, others, 8, x + 24, ref record);
                rest = Step<TCodes>(rest, others, 16, x + 32, ref record);
                rest = Step<TCodes>(rest, others, 32, x + 40, ref record);
                rest = Step<TCodes>(rest, others, 64, x + 48, ref record);
                rest = Step<TCodes>(rest, others, 128, x + 56, ref record);
                rest += Vector512.ShiftRightLogical(rest.AsUInt64(), 32).AsInt32();
                y += scale.Apply(TPlanes.Count, restBits, all, both, Vector256.Create(sums[b]) - low, Avx512F.ConvertToVector256Int32(rest.AsInt64()), sums[b], scales[b]);
            }
        }
        y.Store(results);
    }

    // Adds the products of the codes in eight columns of eight rows.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Step<TCodes>(Vector512<int> sum, Vector512<byte> others, byte bit, sbyte* x, ref byte* codes) where TCodes : struct, ICodeProduct
    {
        Vector512<byte> salient = Vector512.Equals(others & Vector512.Create(bit), Vector512<byte>.Zero);
        Vector512<byte> spread = Avx512Vbmi2.Expand(Vector512<byte>.Zero, salient, Vector512.Load(codes));
        codes += BitOperations.PopCount(salient.ExtractMostSignificantBits());
        return sum + TCodes.Multiply(spread, Vector512.Create(*(long*)x).AsSByte());
    }

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

    /// <summary>The tables of a block in registers.</summary>
    private readonly struct Tables
    {
        private readonly Vector512<byte> _lower00, _lower01, _upper00, _upper01, _lower10, _lower11, _upper10, _upper11;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Tables(byte* tables)
        {
            (_lower00, _lower01, _upper00, _upper01) = (Vector512.Load(tables), Vector512.Load(tables + 64), Vector512.Load(tables + 128), Vector512.Load(tables + 192));
            (_lower10, _lower11, _upper10, _upper11) = (Vector512.Load(tables + 256), Vector512.Load(tables + 320), Vector512.Load(tables + 384), Vector512.Load(tables + 448));
        }

        /// <summary>For each of eight rows the sum of the activations where the plane has ones.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<int> Sum(Vector512<byte> plane)
        {
            Vector512<byte> column = Vector512.Create(0x0706050403020100UL).AsByte(), nibble = Vector512.Create((byte)0x78);
            Vector512<byte> index0 = (Vector512.ShiftLeft(plane.AsUInt16(), 3).AsByte() & nibble) | column;
            Vector512<byte> index1 = (Vector512.ShiftRightLogical(plane.AsUInt16(), 1).AsByte() & nibble) | column;
            Vector512<byte> upper = Avx512Vbmi.PermuteVar64x8x2(_upper00, index0, _upper01) + Avx512Vbmi.PermuteVar64x8x2(_upper10, index1, _upper11);
            Vector512<ulong> sum = Bytes(Avx512Vbmi.PermuteVar64x8x2(_lower00, index0, _lower01)) + Bytes(Avx512Vbmi.PermuteVar64x8x2(_lower10, index1, _lower11));
            sum += Vector512.ShiftLeft(Bytes(upper), 8);
            return Avx512F.ConvertToVector256Int32(sum) - Vector256.Create(SumTables.Offset);
        }

        private static Vector512<ulong> Bytes(Vector512<byte> bytes) => Avx512BW.SumAbsoluteDifferences(bytes, Vector512<byte>.Zero).AsUInt64();
    }
}
