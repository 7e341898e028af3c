using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels;

/// <summary>Copies parts of a matrix into the contiguous panels that <see cref="IGemmKernel"/> reads.</summary>
internal static unsafe class PanelPacking
{
    private const int LineElements = 16; // of a cache line

    /// <summary>panel[p · width + i] = source[i · stride + p] for i below <paramref name="rows"/>, zero for the others.</summary>
    public static void Transposed(float* source, long stride, int rows, int k, int width, float* panel)
    {
        // A cache line of every row at a time: what is written lies together, and no line of the source is read twice.
        for (int p = 0; p < k; p += LineElements) Columns(source + p, stride, rows, Math.Min(LineElements, k - p), width, panel + (long)p * width);
    }

    /// <summary>panel[p · width + i] = source[p · stride + i] for i below <paramref name="columns"/>, zero for the others.</summary>
    public static void Straight(float* source, long stride, int columns, int k, int width, float* panel)
    {
        if (columns == width && width % Vector128<float>.Count == 0)
        {
            for (int p = 0; p < k; p++, source += stride, panel += width)
                for (int i = 0; i < width; i += Vector128<float>.Count) Vector128.Load(source + i).Store(panel + i);
            return;
        }
        for (int p = 0; p < k; p++)
        {
            Span<float> row = new(panel + (long)p * width, width);
            new ReadOnlySpan<float>(source + p * stride, columns).CopyTo(row);
            row[columns..].Clear();
        }
    }

    private static void Columns(float* source, long stride, int rows, int k, int width, float* panel)
    {
        int i = 0;
        if (Avx.IsSupported)
        {
            for (; i + 8 <= rows; i += 8) EightRows(source + i * stride, stride, k, width, panel + i);
        }
        if (Sse.IsSupported)
        {
            for (; i + 4 <= rows; i += 4) FourRows(source + i * stride, stride, k, width, panel + i);
        }
        for (; i < rows; i++)
        {
            float* row = source + i * stride;
            for (int p = 0; p < k; p++) panel[(long)p * width + i] = row[p];
        }
        for (; i < width; i++)
        {
            for (int p = 0; p < k; p++) panel[(long)p * width + i] = 0;
        }
    }

    private static void EightRows(float* source, long stride, int k, int width, float* panel)
    {
        int p = 0;
        for (; p + 8 <= k; p += 8, panel += 8 * width)
        {
            float* first = source + p, fifth = first + 4 * stride;
            // Halves of rows i and i + 4 in one vector, so that the other exchanges stay within 128 bits.
            FourColumns(Pair(first, fifth), Pair(first + stride, fifth + stride), Pair(first + 2 * stride, fifth + 2 * stride), Pair(first + 3 * stride, fifth + 3 * stride), width, panel);
            first += 4;
            fifth += 4;
            FourColumns(Pair(first, fifth), Pair(first + stride, fifth + stride), Pair(first + 2 * stride, fifth + 2 * stride), Pair(first + 3 * stride, fifth + 3 * stride), width, panel + 4 * width);
        }
        for (; p < k; p++, panel += width)
        {
            for (int i = 0; i < 8; i++) panel[i] = source[i * stride + p];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Pair(float* low, float* high) => Vector256.Create(Vector128.Load(low), Vector128.Load(high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourColumns(Vector256<float> a, Vector256<float> b, Vector256<float> c, Vector256<float> d, int width, float* panel)
    {
        Vector256<double> ab0 = Avx.UnpackLow(a, b).AsDouble(), ab1 = Avx.UnpackHigh(a, b).AsDouble(), cd0 = Avx.UnpackLow(c, d).AsDouble(), cd1 = Avx.UnpackHigh(c, d).AsDouble();
        Avx.UnpackLow(ab0, cd0).AsSingle().Store(panel);
        Avx.UnpackHigh(ab0, cd0).AsSingle().Store(panel + width);
        Avx.UnpackLow(ab1, cd1).AsSingle().Store(panel + 2 * width);
        Avx.UnpackHigh(ab1, cd1).AsSingle().Store(panel + 3 * width);
    }

    private static void FourRows(float* source, long stride, int k, int width, float* panel)
    {
        float* row0 = source, row1 = source + stride, row2 = source + 2 * stride, row3 = source + 3 * stride;
        int p = 0;
        for (; p + 4 <= k; p += 4)
        {
            Vector128<float> a = Vector128.Load(row0 + p), b = Vector128.Load(row1 + p), c = Vector128.Load(row2 + p), d = Vector128.Load(row3 + p);
            Vector128<float> ab0 = Sse.UnpackLow(a, b), ab1 = Sse.UnpackHigh(a, b), cd0 = Sse.UnpackLow(c, d), cd1 = Sse.UnpackHigh(c, d);
            Sse.MoveLowToHigh(ab0, cd0).Store(panel);
            Sse.MoveHighToLow(cd0, ab0).Store(panel + width);
            Sse.MoveLowToHigh(ab1, cd1).Store(panel + 2 * width);
            Sse.MoveHighToLow(cd1, ab1).Store(panel + 3 * width);
            panel += 4 * width;
        }
        for (; p < k; p++)
        {
            panel[0] = row0[p];
            panel[1] = row1[p];
            panel[2] = row2[p];
            panel[3] = row3[p];
            panel += width;
        }
    }
}
