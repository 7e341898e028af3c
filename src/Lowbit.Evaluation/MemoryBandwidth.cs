using System;
using System.Diagnostics;
using System.Numerics;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Evaluation;

/// <summary>The memory roof of this machine: how fast the given threads read a buffer that no cache holds.</summary>
public static unsafe class MemoryBandwidth
{
    private const long BufferBytes = 512L << 20;
    private const int BlockBytes = 1 << 20;

    /// <summary>Reads the buffer several times and takes the best, since everything that disturbs only slows down.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="passes">How many times to read.</param>
    /// <param name="cancellation">Stops between two passes.</param>
    /// <returns>Bytes a second.</returns>
    public static double Measure(WorkerPool pool, int passes = 8, CancellationToken cancellation = default)
    {
        using var buffer = new NativeBuffer(BufferBytes);
        double best = 0;
        var work = new ReadBlocks { Pointer = buffer.Pointer };
        for (int pass = 0; pass < passes; pass++)
        {
            cancellation.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            pool.Run(ref work, (int)(BufferBytes / BlockBytes), grain: 4);
            best = Math.Max(best, BufferBytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        GC.KeepAlive(buffer);
        return best;
    }

    private struct ReadBlocks : IParallelWork
    {
        public byte* Pointer;

        public readonly void Execute(int start, int end)
        {
            // Four sums, so that no addition waits for the one before; the result is used, so that no load is left out.
            Vector<ulong> a = default, b = default, c = default, d = default;
            int width = Vector<ulong>.Count;
            ulong* last = (ulong*)(Pointer + (long)end * BlockBytes);
            for (ulong* p = (ulong*)(Pointer + (long)start * BlockBytes); p < last; p += 4 * width)
            {
                a += Vector.Load(p);
                b += Vector.Load(p + width);
                c += Vector.Load(p + 2 * width);
                d += Vector.Load(p + 3 * width);
            }
            if (Vector.Sum(a + b + c + d) != 0) throw new InvalidOperationException("zeroed memory is not zero");
        }
    }
}
