using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>As <see cref="TileProductAvx512"/> with half the width; the 128 activations of a window are eight tables of a byte shuffle.</summary>
internal readonly unsafe struct TileProductAvx2 : ITileProduct
{
    // Of eight and eight rows the sums of the activations where a plane has ones.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Plane(byte* tables, int blocks, ref byte* data, out Vector256<int> sums0, out Vector256<int> sums1)
    {
        Vector256<byte> nibble = Vector256.Create((byte)15);
        Vector256<ushort> lower = default, lowerOdd = default, upper = default, upperOdd = default; // sums of the bytes in pairs, and of the odd ones
        byte* units = data;
        for (int half = 0; half < 2 * blocks; half++, units += RowTiles.Unit, tables += RoundedTokens.TableBytes / 2)
        {
            Sse.Prefetch1(units + RowTiles.Ahead);
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

    public static void Salient(in RoundedToken x, int block, ushort* windows, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
    {
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        sums0 = EightRows(lower, upper, windows, steps, data);
        sums1 = EightRows(lower, upper, windows, steps, data + 32);
        data += 2L * RowTiles.Unit * steps;
    }

    // By itself, so that its sums stay in registers.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static SalientSums EightRows(sbyte* lower, sbyte* upper, ushort* windows, int steps, byte* units)
    {
        const int Fit = 256; // steps whose sums of bytes fit 16 bits
        Vector256<int> sum = default, codeSum = default;
        for (int step = 0; step < steps;)
        {
            Vector256<short> low = default, up = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step++, units += 2 * RowTiles.Unit)
            {
                Sse.Prefetch1(units + RowTiles.Ahead);
                Sse.Prefetch1(units + RowTiles.Ahead + RowTiles.Unit);
                Vector256<byte> places = Vector256.Load(units), code = Vector256.Load(units + RowTiles.Unit);
                // The upper bits of a place choose among the tables; a byte shuffle gives zero where a place has bit 7, which the others keep.
                Vector256<byte> index = places & Vector256.Create((byte)0x8F);
                Vector256<byte> bit4 = Vector256.ShiftLeft(places.AsUInt16(), 3).AsByte(), bit5 = Vector256.ShiftLeft(places.AsUInt16(), 2).AsByte(), bit6 = Vector256.ShiftLeft(places.AsUInt16(), 1).AsByte();
                Vector256<sbyte> l = Fetch(index, bit4, bit5, bit6, lower + windows[step]), u = Fetch(index, bit4, bit5, bit6, upper + windows[step]);
                codeSum += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(code, l), Vector256<short>.One)
                    + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(code, u), Vector256.Create((short)64));
                low += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, l);
                up += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, u);
            }
            sum += Avx2.MultiplyAddAdjacent(low, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(up, Vector256.Create((short)64));
        }
        return new SalientSums(sum, codeSum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Fetch(Vector256<byte> index, Vector256<byte> bit4, Vector256<byte> bit5, Vector256<byte> bit6, sbyte* x) =>
        Avx2.BlendVariable(
            Avx2.BlendVariable(Pair(index, bit4, x), Pair(index, bit4, x + 32), bit5),
            Avx2.BlendVariable(Pair(index, bit4, x + 64), Pair(index, bit4, x + 96), bit5),
            bit6).AsSByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Pair(Vector256<byte> index, Vector256<byte> bit4, sbyte* x) =>
        Avx2.BlendVariable(Avx2.Shuffle(Avx2.BroadcastVector128ToVector256((byte*)x), index), Avx2.Shuffle(Avx2.BroadcastVector128ToVector256((byte*)x + 16), index), bit4);
}
