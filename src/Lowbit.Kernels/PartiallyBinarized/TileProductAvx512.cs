using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Sums over the ones of a low plane are looked up, four weights a byte
/// shuffle, and added up in 16 bits. A step of salient weights fetches its 64 activations from the halves of a window by vpermi2b, and their
/// products stay in the 32-bit lanes of their rows. Needs AVX-512 with VBMI (Ice Lake, Zen 4).
/// </summary>
internal readonly unsafe struct TileProductAvx512 : ITileProduct
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi.IsSupported && VectorLimit.Bits >= 512;

    public static StepWindow Window => new(255, 64);

    // Of sixteen rows the sums of the activations where a plane has ones.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Plane(byte* tables, int blocks, ref byte* data, out Vector256<int> sums0, out Vector256<int> sums1)
    {
        Vector512<byte> nibble = Vector512.Create((byte)15);
        Vector512<ushort> lower = default, lowerOdd = default, upper = default, upperOdd = default; // sums of the bytes in pairs, and of the odd ones
        byte* units = data;
        for (int half = 0; half < 2 * blocks; half++, units += RowTiles.Unit, tables += RoundedTokens.TableBytes / 2)
        {
            Sse.Prefetch0(units + WeightMatrix.Ahead);
            Vector512<byte> bits = Vector512.Load(units);
            Vector512<byte> index0 = bits & nibble, index1 = Vector512.ShiftRightLogical(bits.AsUInt16(), 4).AsByte() & nibble;
            Vector512<ushort> l = (Avx512BW.Shuffle(Vector512.Load(tables), index0) + Avx512BW.Shuffle(Vector512.Load(tables + 128), index1)).AsUInt16();
            Vector512<ushort> u = (Avx512BW.Shuffle(Vector512.Load(tables + 64), index0) + Avx512BW.Shuffle(Vector512.Load(tables + 192), index1)).AsUInt16();
            lower += l;
            upper += u;
            lowerOdd += Vector512.ShiftRightLogical(l, 8);
            upperOdd += Vector512.ShiftRightLogical(u, 8);
        }
        data = units;
        Vector256<int> offset = Vector256.Create(16 * RoundedTokens.SumOffset * blocks);
        sums0 = Sums(lower - Vector512.ShiftLeft(lowerOdd, 8)) + Vector256.ShiftLeft(Sums(upper - Vector512.ShiftLeft(upperOdd, 8)), 7) - offset;
        sums1 = Sums(lowerOdd) + Vector256.ShiftLeft(Sums(upperOdd), 7) - offset;
    }

    // The four 128-bit lanes belong to the same rows. A segment's sums stay below 2^16.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Sums(Vector512<ushort> lanes)
    {
        Vector256<ushort> two = lanes.GetLower() + lanes.GetUpper();
        return Avx2.ConvertToVector256Int32(two.GetLower() + two.GetUpper());
    }

    // By itself, so that its sums stay in registers.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Salient(in RoundedToken x, int block, ushort* windows, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
    {
        const int Fit = 256; // steps whose sums of bytes fit 16 bits
        byte* units = data;
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        Vector512<int> sum = default, codeSum = default;
        for (int step = 0; step < steps;)
        {
            Vector512<short> low = default, up = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step += 2)
            {
                // Multiplications bound this loop: what fits is added up in bytes and 16 bits before it is widened.
                Fetch(lower + windows[step], upper + windows[step], units, out Vector512<sbyte> l, out Vector512<sbyte> u);
                Vector512<byte> code = Vector512.Load(units + RowTiles.Unit);
                Vector512<short> codeLow = Avx512BW.MultiplyAddAdjacent(code, l), codeUp = Avx512BW.MultiplyAddAdjacent(code, u);
                units += 2 * RowTiles.Unit;
                if (step + 1 < end)
                {
                    Fetch(lower + windows[step + 1], upper + windows[step + 1], units, out Vector512<sbyte> l1, out Vector512<sbyte> u1);
                    code = Vector512.Load(units + RowTiles.Unit);
                    codeLow += Avx512BW.MultiplyAddAdjacent(code, l1);
                    codeUp += Avx512BW.MultiplyAddAdjacent(code, u1);
                    l += l1;
                    u += u1;
                    units += 2 * RowTiles.Unit;
                }
                codeSum += Avx512BW.MultiplyAddAdjacent(codeLow, Vector512<short>.One) + Avx512BW.MultiplyAddAdjacent(codeUp, Vector512.Create((short)64));
                low += Avx512BW.MultiplyAddAdjacent(Vector512<byte>.One, l);
                up += Avx512BW.MultiplyAddAdjacent(Vector512<byte>.One, u);
            }
            sum += Avx512BW.MultiplyAddAdjacent(low, Vector512<short>.One) + Avx512BW.MultiplyAddAdjacent(up, Vector512.Create((short)64));
        }
        data = units;
        sums0 = new SalientSums(sum.GetLower(), codeSum.GetLower());
        sums1 = new SalientSums(sum.GetUpper(), codeSum.GetUpper());
    }

    // The two parts of the activations of a step, zero where a row has no weight.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fetch(sbyte* lower, sbyte* upper, byte* units, out Vector512<sbyte> l, out Vector512<sbyte> u)
    {
        Sse.Prefetch0(units + WeightMatrix.Ahead);
        Sse.Prefetch0(units + WeightMatrix.Ahead + RowTiles.Unit);
        Vector512<sbyte> places = Vector512.Load((sbyte*)units);
        Vector512<sbyte> inSecond = Vector512.LessThan(places, Vector512<sbyte>.Zero), isNone = Vector512.Equals(places, Vector512<sbyte>.AllBitsSet);
        l = Chosen(lower, places, inSecond, isNone);
        u = Chosen(upper, places, inSecond, isNone);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<sbyte> Chosen(sbyte* x, Vector512<sbyte> places, Vector512<sbyte> inSecond, Vector512<sbyte> isNone)
    {
        Vector512<sbyte> first = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(x), places, Vector512.Load(x + 64));
        Vector512<sbyte> second = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(x + 128), places, Vector512.Load(x + 192));
        return Vector512.ConditionalSelect(isNone, Vector512<sbyte>.Zero, Vector512.ConditionalSelect(inSecond, second, first));
    }
}
