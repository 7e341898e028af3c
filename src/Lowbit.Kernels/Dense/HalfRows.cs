using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels;

/// <summary>Products of rows of 16-bit floats with one token: four rows share the loads of the activations.</summary>
internal static unsafe class HalfRows
{
    public const int Rows = 4;

    public static bool IsSupported(ElementFormat format) => Vector256.IsHardwareAccelerated && format is ElementFormat.F16 or ElementFormat.BF16;

    /// <summary>Multiplies four rows.</summary>
    /// <param name="format">F16 or BF16.</param>
    /// <param name="weights">First row.</param>
    /// <param name="columns">Elements of a row, and the distance of rows.</param>
    /// <param name="x">[columns].</param>
    /// <param name="results">[4].</param>
    public static void Multiply(ElementFormat format, ushort* weights, int columns, float* x, float* results)
    {
        if (format == ElementFormat.F16) Multiply<HalfPrecision>(weights, columns, x, results);
        else Multiply<UpperHalf>(weights, columns, x, results);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply<TNumber>(ushort* row0, int columns, float* x, float* results) where TNumber : struct, INumber
    {
        ushort* row1 = row0 + columns, row2 = row1 + columns, row3 = row2 + columns;
        Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
        int c = 0;
        for (; c <= columns - 16; c += 16)
        {
            Vector256<float> lower = Vector256.Load(x + c), upper = Vector256.Load(x + c + 8);
            Add<TNumber>(row0 + c, lower, upper, ref a0, ref b0);
            Add<TNumber>(row1 + c, lower, upper, ref a1, ref b1);
            Add<TNumber>(row2 + c, lower, upper, ref a2, ref b2);
            Add<TNumber>(row3 + c, lower, upper, ref a3, ref b3);
        }
        results[0] = Vector256.Sum(a0 + b0);
        results[1] = Vector256.Sum(a1 + b1);
        results[2] = Vector256.Sum(a2 + b2);
        results[3] = Vector256.Sum(a3 + b3);
        for (; c < columns; c++)
        {
            results[0] += TNumber.ToFloat(row0[c]) * x[c];
            results[1] += TNumber.ToFloat(row1[c]) * x[c];
            results[2] += TNumber.ToFloat(row2[c]) * x[c];
            results[3] += TNumber.ToFloat(row3[c]) * x[c];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TNumber>(ushort* row, Vector256<float> lower, Vector256<float> upper, ref Vector256<float> a, ref Vector256<float> b)
        where TNumber : struct, INumber
    {
        (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load(row));
        a = Vector256.MultiplyAddEstimate(TNumber.ToFloat(low), lower, a);
        b = Vector256.MultiplyAddEstimate(TNumber.ToFloat(high), upper, b);
    }

    private interface INumber
    {
        static abstract Vector256<float> ToFloat(Vector256<uint> bits);
        static abstract float ToFloat(ushort bits);
    }

    private readonly struct HalfPrecision : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> ToFloat(Vector256<uint> bits) => VectorBlocks.HalfToFloat(bits);
        public static float ToFloat(ushort bits) => (float)System.BitConverter.UInt16BitsToHalf(bits);
    }

    private readonly struct UpperHalf : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> ToFloat(Vector256<uint> bits) => (bits << 16).AsSingle();
        public static float ToFloat(ushort bits) => System.BitConverter.UInt32BitsToSingle((uint)bits << 16);
    }
}
