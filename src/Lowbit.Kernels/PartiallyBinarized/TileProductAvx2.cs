using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// As <see cref="TileProductAvx512"/> with half the width. The 64 activations of a window are four tables of a byte shuffle: wider windows would
/// leave fewer places empty, but arithmetic is what bounds this kernel.
/// </summary>
internal readonly unsafe struct TileProductAvx2 : ITileProduct
{
    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

    public static StepWindow Window => new(64, 1);

    // Of eight and eight rows the sums of the activations where a plane has ones.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Plane(byte* tables, int blocks, ref byte* data, out Vector256<int> sums0, out Vector256<int> sums1)
    {
        Vector256<byte> nibble = Vector256.Create((byte)15);
        Vector256<ushort> lower = default, lowerOdd = default, upper = default, upperOdd = default; // sums of the bytes in pairs, and of the odd ones
        byte* units = data;
        for (int half = 0; half < 2 * blocks; half++, units += RowTiles.Unit, tables += RoundedTokens.TableBytes / 2)
        {
            Sse.Prefetch0(units + WeightMatrix.Ahead);
            for (int part = 0; part < 64; part += 32)
            {
                Vector256<byte> bits = Vector256.Load(units + part);
                Vector256<byte> index0 = bits & nibble, index1 = Vector256.ShiftRightLogical(bits.AsUInt16(), 4).AsByte() & nibble;
                Vector256<ushort> l = (Avx2.Shuffle(Vector256.Load(tables + part), index0) + Avx2.Shuffle(Vector256.Load(tables + part + 128), index1)).AsUInt16();
                Vector256<ushort> u = (Avx2.Shuffle(Vector256.Load(tables + part + 64), index0) + Avx2.Shuffle(Vector256.Load(tables + part + 192), index1)).AsUInt16();
                lower += l;
                upper += u;
                lowerOdd += Vector256.ShiftRightLogical(l, 8);
                upperOdd += Vector256.ShiftRightLogical(u, 8);
            }
        }
        data = units;
        Vector256<int> offset = Vector256.Create(16 * RoundedTokens.SumOffset * blocks);
        // A segment's sums of a lane take up to 2^15, of both lanes less than 2^16.
        sums0 = Sums(lower - Vector256.ShiftLeft(lowerOdd, 8)) + Vector256.ShiftLeft(Sums(upper - Vector256.ShiftLeft(upperOdd, 8)), 7) - offset;
        sums1 = Sums(lowerOdd) + Vector256.ShiftLeft(Sums(upperOdd), 7) - offset;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Sums(Vector256<ushort> lanes) => Avx2.ConvertToVector256Int32(lanes.GetLower() + lanes.GetUpper());

    // By itself, so that its sums stay in registers. As with AVX-512, what fits is added up in 16 bits before it is widened.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Salient(in RoundedToken x, int block, ushort* windows, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
    {
        const int Fit = 256; // steps whose sums of activations fit 16 bits
        byte* units = data;
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        Vector256<int> sum0 = default, sum1 = default, codeSum0 = default, codeSum1 = default;
        for (int step = 0; step < steps;)
        {
            Vector256<short> low0 = default, low1 = default, up0 = default, up1 = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step++, units += 2 * RowTiles.Unit)
            {
                Sse.Prefetch0(units + WeightMatrix.Ahead);
                Sse.Prefetch0(units + WeightMatrix.Ahead + RowTiles.Unit);
                nint window = windows[step];
                Vector256<byte> places0 = Vector256.Load(units), places1 = Vector256.Load(units + 32);
                Choose(lower + window, places0, places1, out Vector256<sbyte> x0, out Vector256<sbyte> x1);
                low0 += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, x0);
                low1 += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, x1);
                codeSum0 += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256.Load(units + RowTiles.Unit), x0), Vector256<short>.One);
                codeSum1 += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256.Load(units + RowTiles.Unit + 32), x1), Vector256<short>.One);
                Choose(upper + window, places0, places1, out x0, out x1);
                up0 += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, x0);
                up1 += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, x1);
                codeSum0 += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256.Load(units + RowTiles.Unit), x0), Vector256.Create((short)64));
                codeSum1 += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256.Load(units + RowTiles.Unit + 32), x1), Vector256.Create((short)64));
            }
            sum0 += Avx2.MultiplyAddAdjacent(low0, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(up0, Vector256.Create((short)64));
            sum1 += Avx2.MultiplyAddAdjacent(low1, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(up1, Vector256.Create((short)64));
        }
        data = units;
        sums0 = new SalientSums(sum0, codeSum0);
        sums1 = new SalientSums(sum1, codeSum1);
    }

    // One part of the activations of a step. Bits 4 and 5 of a place choose among the tables; a byte shuffle sees the lower four bits, and
    // gives zero where bit 7 is set.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Choose(sbyte* x, Vector256<byte> places0, Vector256<byte> places1, out Vector256<sbyte> x0, out Vector256<sbyte> x1)
    {
        Vector256<byte> fours0 = Vector256.ShiftLeft(places0.AsUInt16(), 3).AsByte(), fours1 = Vector256.ShiftLeft(places1.AsUInt16(), 3).AsByte();
        Vector256<byte> table = Table(x), a0 = Avx2.Shuffle(table, places0), a1 = Avx2.Shuffle(table, places1);
        table = Table(x + 16);
        a0 = Avx2.BlendVariable(a0, Avx2.Shuffle(table, places0), fours0);
        a1 = Avx2.BlendVariable(a1, Avx2.Shuffle(table, places1), fours1);
        table = Table(x + 32);
        Vector256<byte> b0 = Avx2.Shuffle(table, places0), b1 = Avx2.Shuffle(table, places1);
        table = Table(x + 48);
        b0 = Avx2.BlendVariable(b0, Avx2.Shuffle(table, places0), fours0);
        b1 = Avx2.BlendVariable(b1, Avx2.Shuffle(table, places1), fours1);
        x0 = Avx2.BlendVariable(a0, b0, Vector256.ShiftLeft(places0.AsUInt16(), 2).AsByte()).AsSByte();
        x1 = Avx2.BlendVariable(a1, b1, Vector256.ShiftLeft(places1.AsUInt16(), 2).AsByte()).AsSByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Table(sbyte* x) => Avx2.BroadcastVector128ToVector256((byte*)x);
}
