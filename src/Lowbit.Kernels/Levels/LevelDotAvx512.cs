using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Levels;

/// <summary>64 codes a step, four vectors of levels. Tables are looked up by permutations, whose indices are the low bits of lanes.</summary>
internal readonly unsafe struct LevelDotAvx512 : ILevelDot
{
    private static readonly byte[] s_order = LevelOrder.Make(16, paired: false), s_pairedOrder = LevelOrder.Make(16, paired: true);

    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported && VectorLimit.Bits >= 512;

    public static ReadOnlySpan<byte> Order => s_order;

    public static ReadOnlySpan<byte> PairedOrder => s_pairedOrder;

    public static float Run(LevelKind kind, in LevelRow row, float* x) => kind switch
    {
        LevelKind.Table => row.Bits switch
        {
            1 => Run<Table, OneBit>(row, x),
            2 => Run<Table, TwoBits>(row, x),
            3 => Run<Table, ThreeBits>(row, x),
            4 => Run<Table, FourBits>(row, x),
            _ => Run<Table, EightBits>(row, x),
        },
        LevelKind.E2M3 or LevelKind.E3M2 => Run<SignedTable, SixBits>(row, x),
        LevelKind.E4M3 => Run<Float8<LevelE4M3>, EightBits>(row, x),
        LevelKind.E5M2 => Run<Float8<LevelE5M2>, EightBits>(row, x),
        _ => Run<Integer, EightBits>(row, x),
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Run<TLevels, TWidth>(in LevelRow row, float* x) where TLevels : struct, ILevels where TWidth : struct, ICodeWidth
    {
        byte* codes = row.Codes, classes = row.Classes;
        float* scales = row.Scales, tables = row.Tables;
        int scalesOfRun = row.ScalesOfRun, runs = row.Runs;
        // Four scales, spread over the lanes of 64, 32 or 16 columns.
        Vector512<int> spread = scalesOfRun switch
        {
            4 => Vector512.Create(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
            2 => Vector512.Create(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
            _ => default,
        };
        Vector512<float> lower = default, upper = default, sum = default;
        Vector512<byte> largest = default;
        for (int run = 0, runsOfTable = 0; run < runs; run++, codes += LevelRow.RunLength / 8 * TWidth.Bits, x += LevelRow.RunLength)
        {
            if (TLevels.HasTables && runsOfTable-- == 0)
            {
                lower = Vector512.Load(tables);
                if (TLevels.TableVectors == 2) upper = Vector512.Load(tables + 16);
                tables += TLevels.TableVectors * 16;
                runsOfTable = row.RunsOfTable - 1;
            }
            Vector512<byte> bytes = CodeBlock.UnpackAvx512(codes, TWidth.Bits);
            if (classes != null) bytes |= Vector512.Load(classes + run * LevelRow.RunLength);
            if (TLevels.Largest < 0x7F) largest = Vector512.Max(largest, bytes & Vector512.Create((byte)0x7F));
            Vector512<uint> lanes = bytes.AsUInt32();
            Vector512<float> p0 = TLevels.Levels(lanes, lower, upper) * Vector512.Load(x);
            Vector512<float> p1 = TLevels.Levels(lanes >>> 8, lower, upper) * Vector512.Load(x + 16);
            p0 = Vector512.FusedMultiplyAdd(TLevels.Levels(lanes >>> 16, lower, upper), Vector512.Load(x + 32), p0);
            p1 = Vector512.FusedMultiplyAdd(TLevels.Levels(lanes >>> 24, lower, upper), Vector512.Load(x + 48), p1);
            if (scales == null)
            {
                sum += p0 + p1;
                continue;
            }
            sum = Vector512.FusedMultiplyAdd(p0 + p1, Avx512F.PermuteVar16x32(Vector128.Load(scales).ToVector256Unsafe().ToVector512Unsafe(), spread), sum);
            scales += scalesOfRun;
        }
        if (TLevels.Largest < 0x7F && Vector512.GreaterThanAny(largest, Vector512.Create((byte)TLevels.Largest))) return float.NaN;
        return Vector512.Sum(sum);
    }

    private interface ILevels
    {
        static virtual bool HasTables => false;
        static virtual int TableVectors => 1;
        static virtual int Largest => 0x7F;

        /// <summary>The levels of the codes in the lowest bits of the lanes; what is above them means nothing.</summary>
        static abstract Vector512<float> Levels(Vector512<uint> lanes, Vector512<float> lower, Vector512<float> upper);
    }

    private readonly struct Table : ILevels
    {
        public static bool HasTables => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Levels(Vector512<uint> lanes, Vector512<float> lower, Vector512<float> upper) =>
            Avx512F.PermuteVar16x32(lower, lanes.AsInt32());
    }

    /// <summary>Sizes of 5 bits and a sign.</summary>
    private readonly struct SignedTable : ILevels
    {
        public static bool HasTables => true;
        public static int TableVectors => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Levels(Vector512<uint> lanes, Vector512<float> lower, Vector512<float> upper) =>
            Avx512F.PermuteVar16x32x2(lower, lanes.AsInt32(), upper) | (lanes << 26 & Vector512.Create(0x8000_0000u)).AsSingle();
    }

    /// <summary>Exponent and fraction moved to where a float has them mean a number that is too small by a power of two, subnormals included.</summary>
    private readonly struct Float8<TFloat> : ILevels where TFloat : struct, ILevelFloat
    {
        public static int Largest => TFloat.Largest;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Levels(Vector512<uint> lanes, Vector512<float> lower, Vector512<float> upper)
        {
            Vector512<int> bits = (lanes << 24).AsInt32() >> 1 + TFloat.FractionBits & Vector512.Create(int.MinValue | 0x7F << 23 - TFloat.FractionBits);
            return bits.AsSingle() * Vector512.Create(BitConverter.Int32BitsToSingle(254 - TFloat.Bias << 23));
        }
    }

    private readonly struct Integer : ILevels
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> Levels(Vector512<uint> lanes, Vector512<float> lower, Vector512<float> upper) =>
            Vector512.ConvertToSingle((lanes << 24).AsInt32() >> 24);
    }
}
