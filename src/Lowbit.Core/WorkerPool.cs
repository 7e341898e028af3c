using System;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading;

namespace Lowbit.Core;

/// <summary>Work on items 0 to count − 1 that can be done in any order; implemented by a struct so that nothing is allocated.</summary>
public interface IParallelWork
{
    /// <summary>Does the items from <paramref name="start"/> to before <paramref name="end"/>.</summary>
    void Execute(int start, int end);
}

/// <summary>
/// A fixed set of threads that share out the items of one piece of work. Items are cut into chunks whose bounds do not
/// depend on the number of threads, so a result computed chunk by chunk is the same with any number of them.
/// </summary>
public sealed unsafe class WorkerPool : IDisposable
{
    private const int SpinMicroseconds = 50;

    private readonly Thread[] _threads;
    private readonly Lock _oneAtATime = new();
    private readonly object _wake = new();
    private int _generation;   // a new piece of work is there when it grows
    private int _parked;
    private int _running;      // workers that have not finished the current piece
    private int _nextChunk;
    private int _count, _grain;
    private void* _work;
    private delegate*<void*, int, int, void> _execute;
    private ExceptionDispatchInfo? _failure;
    private volatile bool _stopping;

    /// <summary>Starts the threads.</summary>
    /// <param name="threads">Threads including the caller's; 0 for as many as there are cores.</param>
    public WorkerPool(int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Threads = threads == 0 ? Environment.ProcessorCount : threads;
        _threads = new Thread[Threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Loop) { IsBackground = true, Name = $"lowbit worker {i + 1}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads including the caller's.</summary>
    public int Threads { get; }

    /// <summary>Does all items and returns when they are done.</summary>
    /// <param name="work">The work; its fields are the arguments.</param>
    /// <param name="count">Number of items.</param>
    /// <param name="grain">Items of a chunk, the unit that a thread takes at a time.</param>
    /// <remarks>Allocates nothing. Not reentrant: work must not call <see cref="Run"/> itself.</remarks>
    public void Run<TWork>(ref TWork work, int count, int grain) where TWork : struct, IParallelWork
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(grain);
        if (count <= 0) return;
        if (_threads.Length == 0 || count <= grain)
        {
            for (int start = 0; start < count; start += grain) work.Execute(start, Math.Min(count, start + grain));
            return;
        }
        lock (_oneAtATime)
        {
            // The struct stays in the caller's frame until all workers have finished, so its address is good.
            _work = Unsafe.AsPointer(ref work);
            _execute = &Trampoline<TWork>;
            _count = count;
            _grain = grain;
            _nextChunk = 0;
            _failure = null;
            Volatile.Write(ref _running, _threads.Length);
            Interlocked.Increment(ref _generation);
            if (Volatile.Read(ref _parked) > 0)
            {
                lock (_wake) Monitor.PulseAll(_wake);
            }
            TakeChunks();
            SpinWait spin = default;
            while (Volatile.Read(ref _running) > 0) spin.SpinOnce(sleep1Threshold: -1);
            _work = null;
            _failure?.Throw();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopping = true;
        Interlocked.Increment(ref _generation);
        lock (_wake) Monitor.PulseAll(_wake);
        foreach (Thread thread in _threads) thread.Join();
    }

    private static void Trampoline<TWork>(void* work, int start, int end) where TWork : struct, IParallelWork =>
        Unsafe.AsRef<TWork>(work).Execute(start, end);

    private void TakeChunks()
    {
        try
        {
            int chunks = (int)(((long)_count + _grain - 1) / _grain);
            for (int chunk = Interlocked.Increment(ref _nextChunk) - 1; chunk < chunks; chunk = Interlocked.Increment(ref _nextChunk) - 1)
            {
                int start = chunk * _grain;
                _execute(_work, start, (int)Math.Min(_count, (long)start + _grain));
            }
        }
#pragma warning disable CA1031 // whatever a worker throws is thrown again in the caller
        catch (Exception e)
#pragma warning restore CA1031
        {
            _failure = ExceptionDispatchInfo.Capture(e);
            Volatile.Write(ref _nextChunk, int.MaxValue / 2);
        }
    }

    private void Loop()
    {
        int seen = 0;
        while (true)
        {
            WaitForWork(seen);
            seen++;
            if (_stopping) return;
            TakeChunks();
            Interlocked.Decrement(ref _running);
        }
    }

    // Spins for a moment, since the next product of a decode step comes within microseconds, then sleeps.
    private void WaitForWork(int seen)
    {
        long deadline = System.Diagnostics.Stopwatch.GetTimestamp() + System.Diagnostics.Stopwatch.Frequency * SpinMicroseconds / 1_000_000;
        while (Volatile.Read(ref _generation) == seen)
        {
            if (System.Diagnostics.Stopwatch.GetTimestamp() < deadline)
            {
                Thread.SpinWait(20);
                continue;
            }
            lock (_wake)
            {
                Interlocked.Increment(ref _parked);
                if (Volatile.Read(ref _generation) == seen) Monitor.Wait(_wake);
                Interlocked.Decrement(ref _parked);
            }
        }
    }
}
