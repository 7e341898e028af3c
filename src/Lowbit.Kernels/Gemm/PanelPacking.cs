using System;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels;

/// <summary>Copies parts of a matrix into the contiguous panels that <see cref="IGemmKernel"/> reads.</summary>
internal static unsafe class PanelPacking
{
    /// <summary>panel[p · width + i] = source[i · stride + p] for i below <paramref name="rows"/>, zero for the others.</summary>
    public static void Transposed(float* source, long stride, int rows, int k, int width, float* panel)
    {
        int i = 0;
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
