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
    private const int Vector = 64;

    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && Avx512Vbmi.IsSupported && VectorLimit.Bits >= 512;

    public static StepForm Form => new(Slots: 4, Columns: 255, Start: 64, Bias: 0);

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

    public static void Places(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1) =>
        Salient<PlaceSteps>(x, block, moves, steps, ref data, out sums0, out sums1);

    public static void Gaps(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1) =>
        Salient<GapSteps>(x, block, moves, steps, ref data, out sums0, out sums1);

    // By itself, so that its sums stay in registers.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Salient<TSteps>(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
        where TSteps : struct, IStepsAvx512
    {
        const int Fit = 256; // steps whose sums of bytes fit 16 bits
        byte* units = data;
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        Vector512<int> sum = default, codeSum = default;
        Vector512<byte> last = Vector512<byte>.AllBitsSet;
        for (int step = 0; step < steps;)
        {
            Vector512<short> low = default, up = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step += 2)
            {
                // Multiplications bound this loop: what fits is added up in bytes and 16 bits before it is widened.
                Sse.Prefetch0(units + WeightMatrix.Ahead);
                Sse.Prefetch0(units + WeightMatrix.Ahead + Vector);
                nint move = moves[step];
                lower += move;
                upper += move;
                Vector512<byte> places = TSteps.First(units, moves + step, ref last, out Vector512<byte> isNone), code = Vector512.Load(units + Vector);
                Vector512<sbyte> l = Choose(lower, places, isNone), u = Choose(upper, places, isNone);
                Vector512<short> codeLow = Avx512BW.MultiplyAddAdjacent(code, l), codeUp = Avx512BW.MultiplyAddAdjacent(code, u);
                if (step + 1 < end)
                {
                    Sse.Prefetch0(units + WeightMatrix.Ahead + 2 * Vector);
                    Sse.Prefetch0(units + WeightMatrix.Ahead + TSteps.PairBytes - Vector);
                    move = moves[step + 1];
                    lower += move;
                    upper += move;
                    places = TSteps.Second(units, moves + step + 1, ref last, out isNone);
                    code = Vector512.Load(units + TSteps.PairBytes - Vector);
                    Vector512<sbyte> l1 = Choose(lower, places, isNone), u1 = Choose(upper, places, isNone);
                    codeLow += Avx512BW.MultiplyAddAdjacent(code, l1);
                    codeUp += Avx512BW.MultiplyAddAdjacent(code, u1);
                    l += l1;
                    u += u1;
                    units += TSteps.PairBytes;
                }
                else
                {
                    units += 2 * Vector;
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

    // One part of the activations of a step, zero where a row has no weight.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<sbyte> Choose(sbyte* x, Vector512<byte> places, Vector512<byte> isNone)
    {
        Vector512<sbyte> first = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(x), places.AsSByte(), Vector512.Load(x + 64));
        Vector512<sbyte> second = Avx512Vbmi.PermuteVar64x8x2(Vector512.Load(x + 128), places.AsSByte(), Vector512.Load(x + 192));
        Vector512<sbyte> isSecond = Vector512.LessThan(places.AsSByte(), Vector512<sbyte>.Zero);
        return Vector512.ConditionalSelect(isNone.AsSByte(), Vector512<sbyte>.Zero, Vector512.ConditionalSelect(isSecond, second, first));
    }

    // The places of two steps.
    private interface IStepsAvx512
    {
        static abstract int PairBytes { get; }

        static abstract Vector512<byte> First(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone);

        static abstract Vector512<byte> Second(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone);
    }

    private readonly struct PlaceSteps : IStepsAvx512
    {
        public static int PairBytes => 4 * Vector;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> First(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone)
        {
            Vector512<byte> places = Vector512.Load(units);
            isNone = Vector512.Equals(places, Vector512<byte>.AllBitsSet);
            return places;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Second(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone) =>
            First(units + 2 * Vector, move, ref last, out isNone);
    }

    // Places are sums of gaps, modulo 256 and so whatever row is behind or ahead.
    private readonly struct GapSteps : IStepsAvx512
    {
        public static int PairBytes => 3 * Vector;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> First(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone) =>
            Places(Vector512.Load(units) & Vector512.Create((byte)15), move, ref last, out isNone);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<byte> Second(byte* units, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone) =>
            Places(Vector512.ShiftRightLogical(Vector512.Load(units).AsUInt16(), 4).AsByte() & Vector512.Create((byte)15), move, ref last, out isNone);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector512<byte> Places(Vector512<byte> gaps, byte* move, ref Vector512<byte> last, out Vector512<byte> isNone)
        {
            isNone = Vector512.Equals(gaps, Vector512<byte>.Zero) | Vector512.Equals(gaps, Vector512.Create((byte)StepForm.GapToNone));
            gaps = Vector512.Min(gaps, Vector512.Create((byte)StepForm.LongestGap));
            // Four gaps of a row are a lane; their sums, none above 56, do not leave their bytes.
            Vector512<byte> sums = (gaps.AsUInt32() * Vector512.Create(0x01010101u)).AsByte();
            last -= Vector512.Create(*move);
            Vector512<byte> places = sums + last;
            last = Avx512BW.Shuffle(places, Vector512.Create(0x0707070703030303UL, 0x0F0F0F0F0B0B0B0BUL, 0x0707070703030303UL, 0x0F0F0F0F0B0B0B0BUL,
                0x0707070703030303UL, 0x0F0F0F0F0B0B0B0BUL, 0x0707070703030303UL, 0x0F0F0F0F0B0B0B0BUL).AsByte());
            return places;
        }
    }
}
