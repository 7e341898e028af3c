using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Benchmarks;

/// <summary>Attention in the shape of SmolLM2-135M, 9 heads of 64 and 3 of keys and values, and the decode step of a whole model of 1.1 B.</summary>
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

    /// <summary>One token in all blocks of a Llama of 1.1 B, from a cache too large for the processor's own.</summary>
    public static void RunDecode(WorkerPool pool, double bandwidth)
    {
        const int Blocks = 22, Positions = 2048, Heads = 32, KeyValueHeads = 4, HeadDim = 64, Columns = KeyValueHeads * HeadDim;
        AttentionShape shape = new(Heads, KeyValueHeads, HeadDim, 0.125f);
        using Attention attention = new(Positions, Heads * HeadDim, Heads);
        using NativeBuffer q = Values.Random(Heads * HeadDim, 1), rows = Values.Random(Positions * Columns, 2), output = new(Heads * HeadDim * 4), expected = new(Heads * HeadDim * 4);
        foreach (ElementFormat format in CacheRows.Formats)
        {
            long bytes = Positions * format.ByteCount(Columns);
            using NativeBuffer memory = new(2 * Blocks * bytes);
            CacheRows Rows(int i) => new((nint)memory.Pointer + (nint)(i * bytes), format, Columns);
            for (int i = 0; i < 2 * Blocks; i++)
            {
                if (format == ElementFormat.F32) rows.Span<float>(0, Positions * Columns).CopyTo(new Span<float>(Rows(i).Floats(0), Positions * Columns));
                else Rows(i).Write(0, rows.Floats, Positions);
            }
            void Step(int positions)
            {
                for (int i = 0; i < Blocks; i++)
                    attention.Compute(pool, shape, q.Floats, Rows(2 * i), Rows(2 * i + 1), 1, positions - 1, output.Floats);
            }
            Step(Positions);
            if (format == ElementFormat.F32) output.Span<float>(0, Heads * HeadDim).CopyTo(expected.Span<float>(0, Heads * HeadDim));
            float largest = Enumerable.Range(0, Heads * HeadDim).Max(i => Math.Abs(output.Floats[i] - expected.Floats[i]));
            Harness.Verify(largest < 0.05, $"attention over {format}");
            Timing[] timings = Harness.Time(() => Step(Positions), () => Step(256), () => Step(64));
            Harness.Report($"decode of 22 blocks, {Positions} positions, {format}", timings[0], 2.0 * Blocks * bytes, "GB/s", bandwidth, "memory");
            Console.WriteLine($"{$"  milliseconds at {Positions}, 256 and 64",-46} {string.Join(", ", timings.Select(t => $"{1e3 * t.Median:F2} ({1e3 * t.Best:F2})"))}");
        }
    }
}
