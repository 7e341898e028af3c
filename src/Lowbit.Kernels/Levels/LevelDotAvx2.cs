using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Levels;

/// <summary>
/// As <see cref="LevelDotAvx512"/> with 32 codes a step. Eight levels are a vector; of sixteen the four bytes are looked up one by one, of small
/// floats of 6 bits the upper two, the others being zero.
/// </summary>
internal readonly unsafe struct LevelDotAvx2 : ILevelDot
{
    private static readonly byte[] s_order = LevelOrder.Make(8, paired: false), s_pairedOrder = LevelOrder.Make(8, paired: true);

    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

    public static ReadOnlySpan<byte> Order => s_order;

    public static ReadOnlySpan<byte> PairedOrder => s_pairedOrder;

    public static float Run(LevelKind kind, in LevelRow row, float* x) => kind switch
    {
        LevelKind.Table => row.IsSmallTable ? Run<SmallTable>(row, x) : Run<Table>(row, x),
        LevelKind.E2M3 or LevelKind.E3M2 => Run<Float6, SixBits>(row, x),
        LevelKind.E4M3 => Run<Float8<LevelE4M3>, EightBits>(row, x),
        LevelKind.E5M2 => Run<Float8<LevelE5M2>, EightBits>(row, x),
        _ => Run<Integer, EightBits>(row, x),
    };

    private static float Run<TLevels>(in LevelRow row, float* x) where TLevels : struct, ILevels => row.Bits switch
    {
        1 => Run<TLevels, OneBit>(row, x),
        2 => Run<TLevels, TwoBits>(row, x),
        3 => Run<TLevels, ThreeBits>(row, x),
        4 => Run<TLevels, FourBits>(row, x),
        _ => Run<TLevels, EightBits>(row, x),
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Run<TLevels, TWidth>(in LevelRow row, float* x) where TLevels : struct, ILevels where TWidth : struct, ICodeWidth
    {
        byte* codes = row.Codes, classes = row.Classes;
        float* scales = row.Scales, tables = row.Tables;
        int scalesOfRun = row.ScalesOfRun, runs = row.Runs;
        Vector256<int> spreadLower = scalesOfRun == 4 ? Vector256.Create(0, 0, 0, 0, 1, 1, 1, 1) : default;
        Vector256<int> spreadUpper = scalesOfRun == 4 ? Vector256.Create(2, 2, 2, 2, 3, 3, 3, 3) : Vector256.Create(scalesOfRun == 2 ? 1 : 0);
        Vector256<float> sum0 = default, sum1 = default;
        Tables levels = default;
        Vector256<byte> largest = default;
        for (int run = 0, runsOfTable = 0; run < runs; run++, codes += LevelRow.RunLength / 8 * TWidth.Bits, x += LevelRow.RunLength)
        {
            if (TLevels.HasTables && runsOfTable-- == 0)
            {
                levels = TLevels.Bytes == 4 ? Tables.OfBytes(tables) : TLevels.Bytes == 2 ? Tables.OfUpperBytes(tables) : new Tables(tables);
                tables += LevelRow.TableLength;
                runsOfTable = row.RunsOfTable - 1;
            }
            CodeBlock.UnpackAvx2(codes, TWidth.Bits, out Vector256<byte> lower, out Vector256<byte> upper);
            if (classes != null)
            {
                lower |= Vector256.Load(classes + run * LevelRow.RunLength);
                upper |= Vector256.Load(classes + run * LevelRow.RunLength + 32);
            }
            if (TLevels.Largest < 0x7F) largest = Vector256.Max(largest, Vector256.Max(lower & Vector256.Create((byte)0x7F), upper & Vector256.Create((byte)0x7F)));
            Vector256<float> p0, p1;
            if (TLevels.Bytes == 4) (p0, p1) = (HalfOfBytes(lower, x, levels), HalfOfBytes(upper, x + 32, levels));
            else if (TLevels.Bytes == 2) (p0, p1) = (HalfOfUpperBytes(lower, x, levels), HalfOfUpperBytes(upper, x + 32, levels));
            else (p0, p1) = (Half<TLevels>(lower.AsUInt32(), x, levels.First), Half<TLevels>(upper.AsUInt32(), x + 32, levels.First));
            if (scales == null)
            {
                sum0 += p0;
                sum1 += p1;
                continue;
            }
            Vector256<float> four = Vector128.Load(scales).ToVector256Unsafe();
            sum0 = Vector256.MultiplyAddEstimate(p0, Avx2.PermuteVar8x32(four, spreadLower), sum0);
            sum1 = Vector256.MultiplyAddEstimate(p1, Avx2.PermuteVar8x32(four, spreadUpper), sum1);
            scales += scalesOfRun;
        }
        if (TLevels.Largest < 0x7F && Vector256.GreaterThanAny(largest, Vector256.Create((byte)TLevels.Largest))) return float.NaN;
        return Vector256.Sum(sum0 + sum1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Half<TLevels>(Vector256<uint> lanes, float* x, Vector256<float> table) where TLevels : struct, ILevels
    {
        Vector256<float> p0 = TLevels.Levels(lanes, table) * Vector256.Load(x);
        Vector256<float> p1 = TLevels.Levels(lanes >>> 8, table) * Vector256.Load(x + 8);
        p0 = Vector256.MultiplyAddEstimate(TLevels.Levels(lanes >>> 16, table), Vector256.Load(x + 16), p0);
        p1 = Vector256.MultiplyAddEstimate(TLevels.Levels(lanes >>> 24, table), Vector256.Load(x + 24), p1);
        return p0 + p1;
    }

    // The same with codes of 4 bits. Where bytes 0, 4, 8, 12 come first, joining the bytes of the levels gives the lanes of the order above.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> HalfOfBytes(Vector256<byte> codes, float* x, in Tables levels)
    {
        codes = Avx2.Shuffle(codes, Tables.EveryFourth);
        Vector256<byte> b0 = Avx2.Shuffle(levels.First.AsByte(), codes), b1 = Avx2.Shuffle(levels.Second.AsByte(), codes);
        Vector256<byte> b2 = Avx2.Shuffle(levels.Third.AsByte(), codes), b3 = Avx2.Shuffle(levels.Fourth.AsByte(), codes);
        Vector256<ushort> lower0 = Avx2.UnpackLow(b0, b1).AsUInt16(), upper0 = Avx2.UnpackLow(b2, b3).AsUInt16();
        Vector256<ushort> lower1 = Avx2.UnpackHigh(b0, b1).AsUInt16(), upper1 = Avx2.UnpackHigh(b2, b3).AsUInt16();
        Vector256<float> p0 = Avx2.UnpackLow(lower0, upper0).AsSingle() * Vector256.Load(x);
        Vector256<float> p1 = Avx2.UnpackHigh(lower0, upper0).AsSingle() * Vector256.Load(x + 8);
        p0 = Vector256.MultiplyAddEstimate(Avx2.UnpackLow(lower1, upper1).AsSingle(), Vector256.Load(x + 16), p0);
        p1 = Vector256.MultiplyAddEstimate(Avx2.UnpackHigh(lower1, upper1).AsSingle(), Vector256.Load(x + 24), p1);
        return p0 + p1;
    }

    // The same with codes of 5 bits and one for the sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> HalfOfUpperBytes(Vector256<byte> codes, float* x, in Tables levels)
    {
        codes = Avx2.Shuffle(codes, Tables.EveryFourth);
        Vector256<byte> isUpper = Vector256.ShiftLeft(codes.AsUInt16(), 3).AsByte(), sign = Vector256.ShiftLeft(codes.AsUInt16(), 2).AsByte() & Vector256.Create((byte)0x80);
        Vector256<byte> b2 = Avx2.BlendVariable(Avx2.Shuffle(levels.First.AsByte(), codes), Avx2.Shuffle(levels.Second.AsByte(), codes), isUpper);
        Vector256<byte> b3 = Avx2.BlendVariable(Avx2.Shuffle(levels.Third.AsByte(), codes), Avx2.Shuffle(levels.Fourth.AsByte(), codes), isUpper) | sign;
        Vector256<ushort> zero = default, lower = Avx2.UnpackLow(b2, b3).AsUInt16(), upper = Avx2.UnpackHigh(b2, b3).AsUInt16();
        Vector256<float> p0 = Avx2.UnpackLow(zero, lower).AsSingle() * Vector256.Load(x);
        Vector256<float> p1 = Avx2.UnpackHigh(zero, lower).AsSingle() * Vector256.Load(x + 8);
        p0 = Vector256.MultiplyAddEstimate(Avx2.UnpackLow(zero, upper).AsSingle(), Vector256.Load(x + 16), p0);
        p1 = Vector256.MultiplyAddEstimate(Avx2.UnpackHigh(zero, upper).AsSingle(), Vector256.Load(x + 24), p1);
        return p0 + p1;
    }

    /// <summary>
    /// A table of eight levels in the first vector; or of sixteen as byte k of all of them in vector k; or of 32 as byte 2 of the lower and of the
    /// upper sixteen, then byte 3: bytes twice in a vector.
    /// </summary>
    private readonly struct Tables(Vector256<float> first, Vector256<float> second, Vector256<float> third, Vector256<float> fourth)
    {
        public readonly Vector256<float> First = first, Second = second, Third = third, Fourth = fourth;

        public Tables(float* levels) : this(Vector256.Load(levels), default, default, default)
        {
        }

        /// <summary>In each 128 bits the bytes 0, 4, 8, 12, then 1, 5, 9, 13 and so on.</summary>
        public static Vector256<byte> EveryFourth
        {
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            get => Vector256.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Tables OfBytes(float* levels)
        {
            // Byte k of levels 0 to 7 and of 8 to 15 in 64 bits each.
            Vector256<int> together = Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7);
            Vector256<ulong> lower = Avx2.PermuteVar8x32(Avx2.Shuffle(Vector256.Load((byte*)levels), EveryFourth).AsInt32(), together).AsUInt64();
            Vector256<ulong> upper = Avx2.PermuteVar8x32(Avx2.Shuffle(Vector256.Load((byte*)levels + 32), EveryFourth).AsInt32(), together).AsUInt64();
            Vector256<float> even = Avx2.UnpackLow(lower, upper).AsSingle(), odd = Avx2.UnpackHigh(lower, upper).AsSingle();
            return new(Avx.Permute2x128(even, even, 0x00), Avx.Permute2x128(odd, odd, 0x00), Avx.Permute2x128(even, even, 0x11), Avx.Permute2x128(odd, odd, 0x11));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Tables OfUpperBytes(float* levels)
        {
            Tables lower = OfBytes(levels), upper = OfBytes(levels + LevelRow.TableLength);
            return new(lower.Third, upper.Third, lower.Fourth, upper.Fourth);
        }
    }

    private interface ILevels
    {
        static virtual bool HasTables => false;

        /// <summary>Bytes of a level that are looked up by themselves; 0 where levels are made as a whole.</summary>
        static virtual int Bytes => 0;
        static virtual int Largest => 0x7F;

        /// <summary>The levels of the codes in the lowest bits of the lanes; what is above them means nothing.</summary>
        static abstract Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table);
    }

    private readonly struct SmallTable : ILevels
    {
        public static bool HasTables => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table) => Avx2.PermuteVar8x32(table, lanes.AsInt32());
    }

    private readonly struct Table : ILevels
    {
        public static bool HasTables => true;
        public static int Bytes => 4;

        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table) => throw new NotSupportedException();
    }

    private readonly struct Float6 : ILevels
    {
        public static bool HasTables => true;
        public static int Bytes => 2;

        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table) => throw new NotSupportedException();
    }

    /// <summary>As in <see cref="LevelDotAvx512"/>; subnormals are rare.</summary>
    private readonly struct Float8<TFloat> : ILevels where TFloat : struct, ILevelFloat
    {
        public static int Largest => TFloat.Largest;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table)
        {
            Vector256<int> bits = (lanes << 24).AsInt32() >> 1 + TFloat.FractionBits & Vector256.Create(int.MinValue | 0x7F << 23 - TFloat.FractionBits);
            return bits.AsSingle() * Vector256.Create(BitConverter.Int32BitsToSingle(254 - TFloat.Bias << 23));
        }
    }

    private readonly struct Integer : ILevels
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> table) =>
            Vector256.ConvertToSingle((lanes << 24).AsInt32() >> 24);
    }
}
