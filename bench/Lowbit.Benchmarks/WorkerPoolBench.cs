using System;
using System.Diagnostics;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Benchmarks;

/// <summary>What it costs to hand out work: the time of a call whose items do next to nothing.</summary>
internal static class WorkerPoolBench
{
    private const int Calls = 2001;

    public static void Run(WorkerPool pool)
    {
        Report("dispatch, calls one after the other", pool, static () => { });
        Report("dispatch, 20 us of other work between calls", pool, static () => Busy(20));
        Report("dispatch, 200 us of sleep between calls", pool, static () => Thread.Sleep(TimeSpan.FromMicroseconds(200)));
        TimeSpan before = Process.GetCurrentProcess().TotalProcessorTime;
        Thread.Sleep(500);
        TimeSpan idle = Process.GetCurrentProcess().TotalProcessorTime - before;
        Console.WriteLine($"{"processor time while idle",-52} {100 * idle.TotalMilliseconds / 500,9:F1} % of a core");
    }

    private static void Report(string name, WorkerPool pool, Action between)
    {
        double[] times = new double[Calls];
        TinyWork work = default;
        for (int i = 0; i < Calls; i++)
        {
            between();
            long start = Stopwatch.GetTimestamp();
            pool.Run(ref work, pool.Threads, 1);
            times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        Array.Sort(times);
        Console.WriteLine($"{name,-52} {times[Calls / 2],9:F1} us median {times[Calls * 9 / 10],9:F1} us 90th percentile");
    }

    private static void Busy(double microseconds)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalMicroseconds < microseconds) { }
    }

    private struct TinyWork : IParallelWork
    {
        private int _done;

        public void Execute(int start, int end) => Interlocked.Add(ref _done, end - start);
    }
}
