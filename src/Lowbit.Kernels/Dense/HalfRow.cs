using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// The product of a row of 16-bit floats with one token. One row after the other, as they lie: several at a time share the loads of the
/// activations, but rows a page apart are read at half the speed.
/// </summary>
internal static unsafe class HalfRow
{
    public static bool IsSupported(ElementFormat format) => Vector256.IsHardwareAccelerated && VectorLimit.Bits >= 256 && format is ElementFormat.F16 or ElementFormat.BF16;

    /// <summary>Σ_c row[c] · x[c]; false, with a result that means nothing, where a half is infinite or no number.</summary>
    /// <param name="format">F16 or BF16.</param>
    /// <param name="row">[columns].</param>
    /// <param name="columns">Elements of the row.</param>
    /// <param name="x">[columns].</param>
    /// <param name="sum">The result.</param>
    public static bool Dot(ElementFormat format, ushort* row, int columns, float* x, out float sum) => format == ElementFormat.F16
        ? Dot<HalfPrecision>(row, columns, x, out sum)
        : Dot<UpperHalf>(row, columns, x, out sum);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Dot<TNumber>(ushort* row, int columns, float* x, out float sum) where TNumber : struct, INumber
    {
        Vector256<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        Vector256<ushort> largest = default;
        int c = 0;
        for (; c <= columns - 32; c += 32)
        {
            if (Sse.IsSupported) Sse.Prefetch0((byte*)(row + c) + WeightMatrix.Ahead);
            TNumber.Add(Vector256.Load(row + c), x + c, ref sum0, ref sum1, ref largest);
            TNumber.Add(Vector256.Load(row + c + 16), x + c + 16, ref sum2, ref sum3, ref largest);
        }
        if (c <= columns - 16)
        {
            TNumber.Add(Vector256.Load(row + c), x + c, ref sum0, ref sum1, ref largest);
            c += 16;
        }
        sum = Vector256.Sum((sum0 + sum1) + (sum2 + sum3));
        for (; c < columns; c++) sum += TNumber.ToFloat(row[c]) * x[c];
        return !Vector256.GreaterThanOrEqualAny(largest, Vector256.Create((ushort)0x7C00));
    }

    private interface INumber
    {
        static abstract void Add(Vector256<ushort> row, float* x, ref Vector256<float> lower, ref Vector256<float> upper, ref Vector256<ushort> largest);

        static abstract float ToFloat(ushort bits);
    }

    private readonly struct HalfPrecision : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Add(Vector256<ushort> row, float* x, ref Vector256<float> lower, ref Vector256<float> upper, ref Vector256<ushort> largest)
        {
            largest = Vector256.Max(largest, row & Vector256.Create((ushort)0x7FFF));
            (Vector256<int> low, Vector256<int> high) = Vector256.Widen(row.AsInt16());
            lower = Vector256.MultiplyAddEstimate(Finite(low), Vector256.Load(x), lower);
            upper = Vector256.MultiplyAddEstimate(Finite(high), Vector256.Load(x + 8), upper);
        }

        public static float ToFloat(ushort bits) => (float)BitConverter.UInt16BitsToHalf(bits);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<float> Finite(Vector256<int> bits) =>
            (bits << 13 & Vector256.Create(FiniteHalf.Mask)).AsSingle() * Vector256.Create(FiniteHalf.Factor);
    }

    private readonly struct UpperHalf : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Add(Vector256<ushort> row, float* x, ref Vector256<float> lower, ref Vector256<float> upper, ref Vector256<ushort> largest)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(row);
            lower = Vector256.MultiplyAddEstimate((low << 16).AsSingle(), Vector256.Load(x), lower);
            upper = Vector256.MultiplyAddEstimate((high << 16).AsSingle(), Vector256.Load(x + 8), upper);
        }

        public static float ToFloat(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);
    }
}
