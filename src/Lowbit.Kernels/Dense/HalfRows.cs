using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Products of rows of 16-bit floats with one token: four rows share the loads of the activations.</summary>
internal static unsafe class HalfRows
{
    public const int Rows = 4;

    public static bool IsSupported(ElementFormat format) => Vector256.IsHardwareAccelerated && format is ElementFormat.F16 or ElementFormat.BF16;

    /// <summary>Multiplies four rows; returns false, with results that mean nothing, where a half is infinite or no number.</summary>
    /// <param name="format">F16 or BF16.</param>
    /// <param name="weights">First row.</param>
    /// <param name="columns">Elements of a row, and the distance of rows.</param>
    /// <param name="x">[columns].</param>
    /// <param name="results">[4].</param>
    public static bool Multiply(ElementFormat format, ushort* weights, int columns, float* x, float* results) => format == ElementFormat.F16
        ? Multiply<HalfPrecision>(weights, columns, x, results)
        : Multiply<UpperHalf>(weights, columns, x, results);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Multiply<TNumber>(ushort* row0, int columns, float* x, float* results) where TNumber : struct, INumber
    {
        ushort* row1 = row0 + columns, row2 = row1 + columns, row3 = row2 + columns;
        Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
        Vector256<ushort> largest = default;
        int c = 0;
        for (; c <= columns - 16; c += 16)
        {
            Vector256<float> lower = Vector256.Load(x + c), upper = Vector256.Load(x + c + 8);
            TNumber.Add(Vector256.Load(row0 + c), lower, upper, ref a0, ref b0, ref largest);
            TNumber.Add(Vector256.Load(row1 + c), lower, upper, ref a1, ref b1, ref largest);
            TNumber.Add(Vector256.Load(row2 + c), lower, upper, ref a2, ref b2, ref largest);
            TNumber.Add(Vector256.Load(row3 + c), lower, upper, ref a3, ref b3, ref largest);
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
        return !Vector256.GreaterThanOrEqualAny(largest, Vector256.Create((ushort)0x7C00));
    }

    private interface INumber
    {
        static abstract void Add(
            Vector256<ushort> row, Vector256<float> lower, Vector256<float> upper, ref Vector256<float> a, ref Vector256<float> b, ref Vector256<ushort> largest);

        static abstract float ToFloat(ushort bits);
    }

    private readonly struct HalfPrecision : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Add(
            Vector256<ushort> row, Vector256<float> lower, Vector256<float> upper, ref Vector256<float> a, ref Vector256<float> b, ref Vector256<ushort> largest)
        {
            largest = Vector256.Max(largest, row & Vector256.Create((ushort)0x7FFF));
            (Vector256<int> low, Vector256<int> high) = Vector256.Widen(row.AsInt16());
            a = Vector256.MultiplyAddEstimate(Finite(low), lower, a);
            b = Vector256.MultiplyAddEstimate(Finite(high), upper, b);
        }

        public static float ToFloat(ushort bits) => (float)BitConverter.UInt16BitsToHalf(bits);

        // Sign-extended and moved up by 13 bits, a half has its exponent and fraction where a float has them and its sign in the
        // upper four bits; it then means a number 2^112 times too small.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector256<float> Finite(Vector256<int> bits) =>
            (bits << 13 & Vector256.Create(unchecked((int)0x8FFF_E000))).AsSingle() * Vector256.Create(5.192296858534828e33f);
    }

    private readonly struct UpperHalf : INumber
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Add(
            Vector256<ushort> row, Vector256<float> lower, Vector256<float> upper, ref Vector256<float> a, ref Vector256<float> b, ref Vector256<ushort> largest)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(row);
            a = Vector256.MultiplyAddEstimate((low << 16).AsSingle(), lower, a);
            b = Vector256.MultiplyAddEstimate((high << 16).AsSingle(), upper, b);
        }

        public static float ToFloat(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);
    }
}
