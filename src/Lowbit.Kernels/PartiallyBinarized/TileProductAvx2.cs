using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// As <see cref="TileProductAvx512"/> with half the width. The 64 activations of a window are four tables of a byte shuffle: wider windows would
/// leave fewer places empty, but arithmetic is what bounds this kernel. A row has two weights in a step, a lane of 16 bits.
/// </summary>
internal readonly unsafe struct TileProductAvx2 : ITileProduct
{
    private const int Vector = 32;

    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

    public static StepForm Form => new(Slots: 2, Columns: 64, Start: 1, Bias: 16);

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

    public static void Places(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1) =>
        Salient<PlaceSteps>(x, block, moves, steps, ref data, out sums0, out sums1);

    public static void Gaps(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1) =>
        Salient<GapSteps>(x, block, moves, steps, ref data, out sums0, out sums1);

    // By itself, so that its sums stay in registers. Two steps at a time, whose sums fit 16 bits: the codes' 4 · 255 · 32, and of the activations
    // those of many more.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Salient<TSteps>(in RoundedToken x, int block, byte* moves, int steps, ref byte* data, out SalientSums sums0, out SalientSums sums1)
        where TSteps : struct, IStepsAvx2
    {
        const int Fit = 256;
        byte* units = data;
        sbyte* lower = x.Lower + 64 * block, upper = x.Upper + 64 * block;
        // Of rows 0 to 3 and 8 to 11, and of rows 4 to 7 and 12 to 15.
        Vector256<int> sum0 = default, sum1 = default, codeSum0 = default, codeSum1 = default, weights = Vector256.Create(1 | 64 << 16);
        Vector256<ushort> last = Vector256.Create((ushort)(Form.Bias - 1));
        for (int step = 0; step < steps;)
        {
            Vector256<short> low = default, up = default;
            for (int end = Math.Min(steps, step + Fit); step < end; step += 2)
            {
                Sse.Prefetch0(units + WeightMatrix.Ahead);
                Sse.Prefetch0(units + WeightMatrix.Ahead + RowTiles.Unit);
                nint move = moves[step];
                lower += move;
                upper += move;
                Vector256<byte> places = TSteps.First(units, moves + step, ref last), code = Vector256.Load(units + Vector);
                Vector256<sbyte> l = Choose(lower, places), u = Choose(upper, places);
                Vector256<short> codeLow = Avx2.MultiplyAddAdjacent(code, l), codeUp = Avx2.MultiplyAddAdjacent(code, u);
                if (step + 1 < end)
                {
                    move = moves[step + 1];
                    lower += move;
                    upper += move;
                    places = TSteps.Second(units, moves + step + 1, ref last);
                    code = Vector256.Load(units + TSteps.PairBytes - Vector);
                    Vector256<sbyte> l1 = Choose(lower, places), u1 = Choose(upper, places);
                    codeLow += Avx2.MultiplyAddAdjacent(code, l1);
                    codeUp += Avx2.MultiplyAddAdjacent(code, u1);
                    l += l1;
                    u += u1;
                    units += TSteps.PairBytes;
                }
                else
                {
                    units += 2 * Vector;
                }
                low += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, l);
                up += Avx2.MultiplyAddAdjacent(Vector256<byte>.One, u);
                codeSum0 += Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(codeLow, codeUp), weights.AsInt16());
                codeSum1 += Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(codeLow, codeUp), weights.AsInt16());
            }
            sum0 += Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(low, up), weights.AsInt16());
            sum1 += Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(low, up), weights.AsInt16());
        }
        data = units;
        sums0 = new SalientSums(Avx2.Permute2x128(sum0, sum1, 0x20), Avx2.Permute2x128(codeSum0, codeSum1, 0x20));
        sums1 = new SalientSums(Avx2.Permute2x128(sum0, sum1, 0x31), Avx2.Permute2x128(codeSum0, codeSum1, 0x31));
    }

    // One part of the activations of a step. Bits 4 and 5 of a place, which is 16 to 79, choose among the tables; a byte shuffle sees the lower
    // four bits, and gives zero where bit 7 is set.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Choose(sbyte* x, Vector256<byte> places)
    {
        Vector256<byte> bit4 = Vector256.ShiftLeft(places.AsUInt16(), 3).AsByte(), bit5 = Vector256.ShiftLeft(places.AsUInt16(), 2).AsByte();
        Vector256<byte> a = Avx2.BlendVariable(Avx2.Shuffle(Table(x + 48), places), Avx2.Shuffle(Table(x), places), bit4);
        Vector256<byte> b = Avx2.BlendVariable(Avx2.Shuffle(Table(x + 16), places), Avx2.Shuffle(Table(x + 32), places), bit4);
        return Avx2.BlendVariable(a, b, bit5).AsSByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Table(sbyte* x) => Avx2.BroadcastVector128ToVector256((byte*)x);

    // The places of two steps.
    private interface IStepsAvx2
    {
        static abstract int PairBytes { get; }

        static abstract Vector256<byte> First(byte* units, byte* move, ref Vector256<ushort> last);

        static abstract Vector256<byte> Second(byte* units, byte* move, ref Vector256<ushort> last);
    }

    private readonly struct PlaceSteps : IStepsAvx2
    {
        public static int PairBytes => 4 * Vector;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> First(byte* units, byte* move, ref Vector256<ushort> last) => Vector256.Load(units);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> Second(byte* units, byte* move, ref Vector256<ushort> last) => Vector256.Load(units + 2 * Vector);
    }

    // Places are sums of gaps. A lane is a row, and its last place is at least 1: the window begins no later than where the next gap leads.
    private readonly struct GapSteps : IStepsAvx2
    {
        public static int PairBytes => 3 * Vector;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> First(byte* units, byte* move, ref Vector256<ushort> last) =>
            Places(Vector256.Load(units) & Vector256.Create((byte)15), move, ref last);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<byte> Second(byte* units, byte* move, ref Vector256<ushort> last) =>
            Places(Vector256.ShiftRightLogical(Vector256.Load(units).AsUInt16(), 4).AsByte() & Vector256.Create((byte)15), move, ref last);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<byte> Places(Vector256<byte> gaps, byte* move, ref Vector256<ushort> last)
        {
            Vector256<byte> isNone = Avx2.Shuffle(Vector256.Create(0x80UL, 0x80UL << 56, 0x80UL, 0x80UL << 56).AsByte(), gaps); // 0 and 15
            gaps = Avx2.Min(gaps, Vector256.Create((byte)StepForm.LongestGap));
            Vector256<ushort> places = (gaps.AsUInt16() + last - Vector256.Create((ushort)*move)) * Vector256.Create((ushort)0x0101);
            last = Vector256.ShiftRightLogical(places, 8);
            return places.AsByte() | isNone;
        }
    }
}
