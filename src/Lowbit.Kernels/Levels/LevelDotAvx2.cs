using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Levels;

/// <summary>As <see cref="LevelDotAvx512"/> with 32 codes a step and tables of eight.</summary>
internal readonly unsafe struct LevelDotAvx2 : ILevelDot
{
    private static readonly byte[] s_order = LevelOrder.Make(8, paired: false), s_pairedOrder = LevelOrder.Make(8, paired: true);

    public static ReadOnlySpan<byte> Order => s_order;

    public static ReadOnlySpan<byte> PairedOrder => s_pairedOrder;

    public static float Run(LevelKind kind, in LevelRow row, float* x) => kind switch
    {
        LevelKind.Table => row.IsSmallTable ? Run<SmallTable>(row, x) : Run<Table>(row, x),
        LevelKind.E2M3 => Run<Float6<LevelE2M3>, SixBits>(row, x),
        LevelKind.E3M2 => Run<Float6<LevelE3M2>, SixBits>(row, x),
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
        Vector256<float> t0 = default, t1 = default, sum0 = default, sum1 = default;
        Vector256<byte> largest = default;
        for (int run = 0, runsOfTable = 0; run < runs; run++, codes += LevelRow.RunLength / 8 * TWidth.Bits, x += LevelRow.RunLength)
        {
            if (TLevels.HasTables && runsOfTable-- == 0)
            {
                t0 = Vector256.Load(tables);
                t1 = Vector256.Load(tables + 8);
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
            Vector256<float> p0 = Half<TLevels>(lower.AsUInt32(), x, t0, t1), p1 = Half<TLevels>(upper.AsUInt32(), x + 32, t0, t1);
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
    private static Vector256<float> Half<TLevels>(Vector256<uint> lanes, float* x, Vector256<float> t0, Vector256<float> t1) where TLevels : struct, ILevels
    {
        Vector256<float> p0 = TLevels.Levels(lanes, t0, t1) * Vector256.Load(x);
        Vector256<float> p1 = TLevels.Levels(lanes >>> 8, t0, t1) * Vector256.Load(x + 8);
        p0 = Vector256.MultiplyAddEstimate(TLevels.Levels(lanes >>> 16, t0, t1), Vector256.Load(x + 16), p0);
        p1 = Vector256.MultiplyAddEstimate(TLevels.Levels(lanes >>> 24, t0, t1), Vector256.Load(x + 24), p1);
        return p0 + p1;
    }

    private interface ILevels
    {
        static virtual bool HasTables => false;
        static virtual int Largest => 0x7F;

        /// <summary>The levels of the codes in the lowest bits of the lanes; what is above them means nothing.</summary>
        static abstract Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1);
    }

    private readonly struct SmallTable : ILevels
    {
        public static bool HasTables => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1) => Avx2.PermuteVar8x32(t0, lanes.AsInt32());
    }

    /// <summary>Permutations look at the lower three bits of an index, the blend at the highest bit of a lane.</summary>
    private readonly struct Table : ILevels
    {
        public static bool HasTables => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1) =>
            Avx.BlendVariable(Avx2.PermuteVar8x32(t0, lanes.AsInt32()), Avx2.PermuteVar8x32(t1, lanes.AsInt32()), (lanes << 28).AsSingle());
    }

    /// <summary>Subnormals, which are frequent here, apart from the others: processors take long for subnormal floats.</summary>
    private readonly struct Float6<TFloat> : ILevels where TFloat : struct, ILevelFloat
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1)
        {
            Vector256<int> size = (lanes & Vector256.Create(0x1Fu)).AsInt32();
            Vector256<float> normal = ((size << 23 - TFloat.FractionBits) + Vector256.Create(127 - TFloat.Bias << 23)).AsSingle();
            Vector256<float> subnormal = Vector256.ConvertToSingle(size) * Vector256.Create(BitConverter.Int32BitsToSingle(128 - TFloat.Bias - TFloat.FractionBits << 23));
            Vector256<float> isNormal = Vector256.GreaterThan(size, Vector256.Create((1 << TFloat.FractionBits) - 1)).AsSingle();
            return Avx.BlendVariable(subnormal, normal, isNormal) | (lanes << 26 & Vector256.Create(0x8000_0000u)).AsSingle();
        }
    }

    /// <summary>As in <see cref="LevelDotAvx512"/>; subnormals are rare.</summary>
    private readonly struct Float8<TFloat> : ILevels where TFloat : struct, ILevelFloat
    {
        public static int Largest => TFloat.Largest;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1)
        {
            Vector256<int> bits = (lanes << 24).AsInt32() >> 1 + TFloat.FractionBits & Vector256.Create(int.MinValue | 0x7F << 23 - TFloat.FractionBits);
            return bits.AsSingle() * Vector256.Create(BitConverter.Int32BitsToSingle(254 - TFloat.Bias << 23));
        }
    }

    private readonly struct Integer : ILevels
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Levels(Vector256<uint> lanes, Vector256<float> t0, Vector256<float> t1) =>
            Vector256.ConvertToSingle((lanes << 24).AsInt32() >> 24);
    }
}
