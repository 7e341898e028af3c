using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Training.Operators;

/// <summary>
/// Products with a weight that stays packed: some rows at a time are rebuilt as floats, so that never more than
/// <see cref="ChunkElements"/> of them, or sixteen rows, lie in memory.
/// </summary>
internal static unsafe class PackedProducts
{
    private const int ChunkElements = 1 << 18, FewestRows = 16;

    [ThreadStatic]
    private static NativeBuffer? t_rows;

    /// <summary>y ← x·Wᵀ, [tokens, outFeatures].</summary>
    public static void Forward(WorkerPool pool, WeightMatrix weight, float* x, int tokens, float* y)
    {
        int columns = weight.Columns, chunk = ChunkRows(weight);
        for (int first = 0; first < weight.Rows; first += chunk)
        {
            int rows = Math.Min(chunk, weight.Rows - first);
            float* part = Rebuild(pool, weight, first, rows);
            Gemm.MultiplyTransposed(pool, x, columns, part, columns, y + first, weight.Rows, tokens, rows, columns);
        }
    }

    /// <summary>dx += dy·W, [tokens, inFeatures].</summary>
    public static void Backward(WorkerPool pool, WeightMatrix weight, float* dy, int tokens, float* dx)
    {
        int columns = weight.Columns, chunk = ChunkRows(weight);
        for (int first = 0; first < weight.Rows; first += chunk)
        {
            int rows = Math.Min(chunk, weight.Rows - first);
            float* part = Rebuild(pool, weight, first, rows);
            Gemm.MultiplyAdd(pool, 1, dy + first, weight.Rows, part, columns, dx, columns, tokens, columns, rows);
        }
    }

    private static int ChunkRows(WeightMatrix weight) => Math.Max(FewestRows, ChunkElements / weight.Columns);

    private static float* Rebuild(WorkerPool pool, WeightMatrix weight, int first, int rows)
    {
        float* part = (float*)Scratch.Ensure(ref t_rows, (long)rows * weight.Columns * sizeof(float));
        RebuildWork work = new() { Weight = weight, First = first, Destination = part };
        pool.Run(ref work, rows, FewestRows);
        return part;
    }

    private struct RebuildWork : IParallelWork
    {
        public WeightMatrix Weight;
        public int First;
        public float* Destination;

        public readonly void Execute(int start, int end) => Weight.DequantizeRows(First + start, end - start, Destination + (long)start * Weight.Columns);
    }
}
