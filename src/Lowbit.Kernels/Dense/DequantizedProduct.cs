using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>The product of many tokens with a packed weight: its rows are rebuilt as floats panel by panel and multiplied.</summary>
internal static unsafe class DequantizedProduct
{
    private const long PanelElements = 1 << 20; // 4 MiB: rebuilt and used while it is in the last-level cache

    [ThreadStatic]
    private static NativeBuffer? t_panel;

    /// <summary>output[t, r] = Σ_c x[t, c] · W[r, c].</summary>
    public static void Multiply(WorkerPool pool, WeightMatrix weight, float* x, int tokens, float* output)
    {
        int columns = weight.Columns;
        int panelRows = (int)Math.Clamp(PanelElements / columns / 96 * 96, 96, Math.Max(96, weight.Rows));
        float* panel = (float*)Scratch.Ensure(ref t_panel, (long)Math.Min(panelRows, weight.Rows) * columns * sizeof(float));
        for (int first = 0; first < weight.Rows; first += panelRows)
        {
            int rows = Math.Min(panelRows, weight.Rows - first);
            Work work = new() { Weight = weight, FirstRow = first, Panel = panel };
            pool.Run(ref work, rows, 8);
            Gemm.MultiplyTransposed(pool, x, columns, panel, columns, output + first, weight.Rows, tokens, rows, columns);
        }
    }

    private struct Work : IParallelWork
    {
        public WeightMatrix Weight;
        public int FirstRow;
        public float* Panel;

        public readonly void Execute(int start, int end) =>
            Weight.DequantizeRows(FirstRow + start, end - start, Panel + (long)start * Weight.Columns);
    }
}
