using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Benchmarks;

/// <summary>Attention in the shape of SmolLM2-135M: 9 heads of 64, 3 of keys and values.</summary>
internal static unsafe class AttentionBench
{
    public static void Run(WorkerPool pool, double peakFlops)
    {
        const int Positions = 2048, Heads = 9, KeyValueHeads = 3, HeadDim = 64;
        AttentionShape shape = new(Heads, KeyValueHeads, HeadDim, 0.125f);
        using Attention attention = new(Positions, Heads * HeadDim, Heads);
        using NativeBuffer q = Values.Random(Positions * Heads * HeadDim, 1), k = Values.Random(Positions * KeyValueHeads * HeadDim, 2), v = Values.Random(Positions * KeyValueHeads * HeadDim, 3),
            many = new(Positions * Heads * HeadDim * 4), one = new(Heads * HeadDim * 4);
        CacheRows keys = new(k.Floats, KeyValueHeads * HeadDim), values = new(v.Floats, KeyValueHeads * HeadDim);
        attention.Compute(pool, shape, q.Floats, keys, values, Positions, 0, many.Floats);
        float* last = q.Floats + (Positions - 1) * Heads * HeadDim;
        attention.Compute(pool, shape, last, keys, values, 1, Positions - 1, one.Floats);
        for (int i = 0; i < Heads * HeadDim; i++)
            Harness.Verify(Math.Abs(one.Floats[i] - many.Floats[(Positions - 1) * Heads * HeadDim + i]) < 1e-5, "attention");
        Timing[] timings = Harness.Time(
            () => attention.Compute(pool, shape, q.Floats, keys, values, Positions, 0, many.Floats),
            () => attention.Compute(pool, shape, last, keys, values, 1, Positions - 1, one.Floats),
            () => attention.Compute(pool, shape, last, keys, values, 1, 255, one.Floats));
        Harness.Report($"attention, {Positions} tokens", timings[0], 2.0 * Heads * HeadDim * Positions * (Positions + 1), "GFLOP/s", peakFlops, "peak");
        Harness.Report($"attention, 1 token at {Positions - 1}", timings[1], 4.0 * Heads * HeadDim * Positions, "GFLOP/s", peakFlops, "peak");
        Harness.Report("attention, 1 token at 255", timings[2], 4.0 * Heads * HeadDim * 256, "GFLOP/s", peakFlops, "peak");
        Console.WriteLine($"{"  microseconds of the three",-46} {1e6 * timings[0].Best:F1}, {1e6 * timings[1].Best:F1}, {1e6 * timings[2].Best:F1}");
    }
}
