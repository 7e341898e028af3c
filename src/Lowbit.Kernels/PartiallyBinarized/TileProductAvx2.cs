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

    public static void Salient(in RoundedToken x, int block, ushort* windows, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
    {
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        sums0 = EightRows(lower, upper, windows, steps, data, fetchAhead: true);
        sums1 = EightRows(lower, upper, windows, steps, data + 32, fetchAhead: false); // the first pass has asked for both halves of the lines
        data += 2L * RowTiles.Unit * steps;
    }

    // By itself, so that its sums stay in registers. As with AVX-512, what fits is added up in bytes and 16 bits before it is widened.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static SalientSums EightRows(sbyte* lower, sbyte* upper, ushort* windows, int steps, byte* units, bool fetchAhead)
    {
        const int Fit = 256; // steps whose sums of bytes fit 16 bits
        Vector256<int> sum = default, codeSum = default;
        for (int step = 0; step < steps;)
        {
            Vector256<short> low = default, up = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step += 2)
            {
                Fetch(lower + windows[step], upper + windows[step], units, fetchAhead, out Vector256<sbyte> l, out Vector256<sbyte> u);
                Vector256<byte> code = Vector256.Load(units + RowTiles.Unit);
                Vector256<short> codeLow = Avx2.MultiplyAddAdjacent(code, l), codeUp = Avx2.MultiplyAddAdjacent(code, u);
                units += 2 * RowTiles.Unit;
                if (step + 1 < end)
                {
                    Fetch(lower + windows[step + 1], upper + windows[step + 1], units, fetchAhead, out Vector256<sbyte> l1, out Vector256<sbyte> u1);
                    code = Vector256.Load(units + RowTiles.Unit);
                    codeLow += Avx2.MultiplyAddAdjacent(code, l1);
                    codeUp += Avx2.MultiplyAddAdjacent(code, u1);
                    l += l1;
                    u += u1;
                    units += 2 * RowTiles.Unit;
                }
                codeSum += Avx2.MultiplyAddAdjacent(codeLow, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(codeUp, Vector256.Create((short)64));
                low += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, l);
                up += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, u);
            }
            sum += Avx2.MultiplyAddAdjacent(low, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(up, Vector256.Create((short)64));
        }
        return new SalientSums(sum, codeSum);
    }

    // The two parts of the activations of a step. Bits 4 and 5 of a place choose among the tables; a byte shuffle gives zero where it has bit 7.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fetch(sbyte* lower, sbyte* upper, byte* units, bool fetchAhead, out Vector256<sbyte> l, out Vector256<sbyte> u)
    {
        if (fetchAhead)
        {
            Sse.Prefetch0(units + WeightMatrix.Ahead);
            Sse.Prefetch0(units + WeightMatrix.Ahead + RowTiles.Unit);
        }
        Vector256<byte> places = Vector256.Load(units), index = places & Vector256.Create((byte)0x8F);
        Vector256<byte> bit4 = Vector256.ShiftLeft(places.AsUInt16(), 3).AsByte(), bit5 = Vector256.ShiftLeft(places.AsUInt16(), 2).AsByte();
        l = Avx2.BlendVariable(Pair(index, bit4, lower), Pair(index, bit4, lower + 32), bit5).AsSByte();
        u = Avx2.BlendVariable(Pair(index, bit4, upper), Pair(index, bit4, upper + 32), bit5).AsSByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Pair(Vector256<byte> index, Vector256<byte> bit4, sbyte* x) =>
        Avx2.BlendVariable(Avx2.Shuffle(Avx2.BroadcastVector128ToVector256((byte*)x), index), Avx2.Shuffle(Avx2.BroadcastVector128ToVector256((byte*)x + 16), index), bit4);
}
