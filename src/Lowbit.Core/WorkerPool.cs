using System;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.Intrinsics.X86;
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
/// <remarks>
/// Every thread begins with a run of neighbouring chunks of its own and, when that is done, takes half of what another has
/// left. Threads that took turns at one row of chunks would break each other's reading of weights into short pieces: two
/// threads read 16 KiB pieces in turn no faster than one thread reads alone, and long runs twice as fast (docs/numerics.md).
/// <para/>
/// A piece of work is over when its chunks are done: a thread that has not woken by then is not waited for. Threads without
/// work spin for a moment, since the next product of a decode step comes within microseconds, and then sleep. While they spin they fetch
/// what <see cref="Expect"/> has told them, so that the memory is not idle between two products.
/// </remarks>
public sealed unsafe class WorkerPool : IDisposable
{
    private const int SpinMicroseconds = 50;
    private const int SpinsBeforeYield = 1000;
    private const long Closed = 1L << 31;
    private const int GenerationShift = 32;
    private const int PartOfRest = 4; // a thread takes a quarter of its remaining chunks at once
    private const int ShareStride = 16; // two cache lines apart, since lines are fetched in pairs

    [ThreadStatic]
    private static bool t_working;

    private readonly Thread[] _threads;
    private readonly Lock _oneAtATime = new();
    private readonly object _wake = new();
    private long _gate = Closed; // generation of the work, whether it is closed to further workers, workers inside
    private int _parked;
    private readonly long[] _shares; // of thread i at i * ShareStride: end of its chunks in the upper half, the next one in the lower
    private readonly nint[] _expected; // of thread i at i * ShareStride: what it reads first in work to come
    private ReadAhead _ahead; // of the caller
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
        _shares = new long[Threads * ShareStride];
        _expected = new nint[Threads * ShareStride];
        _threads = new Thread[Threads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int thread = i + 1;
            _threads[i] = new Thread(() => Loop(thread)) { IsBackground = true, Name = $"lowbit worker {i + 1}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads including the caller's.</summary>
    public int Threads { get; }

    /// <summary>Does all items and returns when they are done.</summary>
    /// <param name="work">The work; its fields are the arguments.</param>
    /// <param name="count">Number of items.</param>
    /// <param name="grain">Items of a chunk, the unit that a thread takes at a time.</param>
    /// <exception cref="ObjectDisposedException">The pool has been disposed of.</exception>
    /// <remarks>
    /// Allocates nothing. The first exception of a chunk is thrown again here, after all running chunks have ended; the
    /// others are not begun. A call from within work is done by the calling thread alone.
    /// </remarks>
    public void Run<TWork>(ref TWork work, int count, int grain) where TWork : struct, IParallelWork
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(grain);
        ObjectDisposedException.ThrowIf(_stopping, this);
        if (count <= 0) return;
        if (_threads.Length == 0 || count <= grain || t_working)
        {
            for (long start = 0; start < count; start += grain) work.Execute((int)start, (int)Math.Min(count, start + grain));
            return;
        }
        lock (_oneAtATime)
        {
            // The struct may be a field of an object on the heap: it is pinned until the last worker has left.
#pragma warning disable CS8500 // its fields may be references; workers reach them through the struct alone
            fixed (TWork* pinned = &work)
#pragma warning restore CS8500
            {
                _work = pinned;
                _execute = &Trampoline<TWork>;
                _count = count;
                _grain = grain;
                _failure = null;
                long chunks = ((long)count + grain - 1) / grain;
                for (int thread = 0; thread < Threads; thread++) Share(thread) = Pack(FirstChunk(thread, chunks), FirstChunk(thread + 1, chunks));
                Open();
                TakeChunks(0);
                CloseAndWait();
            }
            _failure?.Throw();
        }
    }

    /// <summary>The item with which a thread begins in <see cref="Run"/>.</summary>
    /// <param name="thread">The thread; 0 is the caller's.</param>
    /// <param name="count">Number of items.</param>
    /// <param name="grain">Items of a chunk.</param>
    public int FirstItem(int thread, int count, int grain) => (int)FirstChunk(thread, ((long)count + grain - 1) / grain) * grain;

    /// <summary>Tells a thread what it will read first in work to come; until then it fetches the beginning of it whenever it waits.</summary>
    /// <param name="thread">The thread; 0 is the caller's.</param>
    /// <param name="start">Where it is, or null for nothing. What follows is only fetched, so it need not be valid.</param>
    public void Expect(int thread, byte* start) => Volatile.Write(ref _expected[thread * ShareStride], (nint)start);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_stopping) return;
        _stopping = true;
        Interlocked.Add(ref _gate, 1L << GenerationShift);
        lock (_wake) Monitor.PulseAll(_wake);
        foreach (Thread thread in _threads) thread.Join();
    }

    private static void Trampoline<TWork>(void* work, int start, int end) where TWork : struct, IParallelWork =>
        Unsafe.AsRef<TWork>(work).Execute(start, end);

    private void Open()
    {
        // Nobody is inside and the gate is closed, so no worker changes it.
        Interlocked.Exchange(ref _gate, ((_gate >> GenerationShift) + 1) << GenerationShift);
        if (Volatile.Read(ref _parked) == 0) return;
        lock (_wake) Monitor.PulseAll(_wake);
    }

    private void CloseAndWait()
    {
        Interlocked.Or(ref _gate, Closed);
        for (int spins = 0; (Volatile.Read(ref _gate) & (Closed - 1)) != 0;)
        {
            if (_ahead.Fetch(Volatile.Read(ref _expected[0]))) continue;
            if (spins++ < SpinsBeforeYield) Thread.SpinWait(1);
            else Thread.Yield();
        }
    }

    private void TakeChunks(int thread)
    {
        t_working = true;
        try
        {
            while (_failure is null && (TryTake(thread, out long chunk, out long end) || TrySteal(thread, out chunk, out end)))
            {
                for (; chunk < end && _failure is null; chunk++)
                {
                    long start = chunk * _grain;
                    _execute(_work, (int)start, (int)Math.Min(_count, start + _grain));
                }
            }
        }
#pragma warning disable CA1031 // whatever a worker throws is thrown again in the caller
        catch (Exception e)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(e), null);
        }
        finally
        {
            t_working = false;
        }
    }

    private long FirstChunk(int thread, long chunks) => chunks * thread / Threads;

    private ref long Share(int thread) => ref _shares[thread * ShareStride];

    private static long Pack(long next, long end) => end << 32 | next;

    // A chunk is handed out once, so a run of chunks never comes back to an earlier value while work goes on. A thread takes a part of
    // what it has left: an exchange waits for all reading before it, and one for each chunk cost a decode step 6 % of its time.
    private bool TryTake(int thread, out long chunk, out long end)
    {
        ref long share = ref Share(thread);
        long found = Volatile.Read(ref share);
        while (true)
        {
            chunk = end = (uint)found;
            long left = (found >> 32) - chunk;
            if (left <= 0) return false;
            end += (left + PartOfRest - 1) / PartOfRest;
            long before = Interlocked.CompareExchange(ref share, Pack(end, found >> 32), found);
            if (before == found) return true;
            found = before;
        }
    }

    private bool TrySteal(int thief, out long chunk, out long end)
    {
        for (int offset = 1; offset < Threads; offset++)
        {
            ref long share = ref Share((thief + offset) % Threads);
            long found = Volatile.Read(ref share);
            while ((uint)found < found >> 32)
            {
                long next = (uint)found, last = found >> 32, middle = (next + last) / 2;
                long before = Interlocked.CompareExchange(ref share, Pack(next, middle), found);
                if (before == found)
                {
                    (chunk, end) = (middle, middle + 1);
                    Volatile.Write(ref Share(thief), Pack(middle + 1, last));
                    return true;
                }
                found = before;
            }
        }
        chunk = end = 0;
        return false;
    }

    private void Loop(int thread)
    {
        long generation = 0;
        ReadAhead ahead = default;
        while (true)
        {
            long gate = WaitForWork(thread, generation, ref ahead);
            generation = gate >> GenerationShift;
            if (_stopping) return;
            // Whoever enters while the gate is open finds the fields of this generation, which stay until it has left.
            while ((gate & Closed) == 0 && gate >> GenerationShift == generation)
            {
                long found = Interlocked.CompareExchange(ref _gate, gate + 1, gate);
                if (found == gate)
                {
                    TakeChunks(thread);
                    Interlocked.Decrement(ref _gate);
                    break;
                }
                gate = found;
            }
        }
    }

    private long WaitForWork(int thread, long generation, ref ReadAhead ahead)
    {
        long deadline = Stopwatch.GetTimestamp() + Stopwatch.Frequency * SpinMicroseconds / 1_000_000;
        long gate;
        while ((gate = Volatile.Read(ref _gate)) >> GenerationShift == generation)
        {
            if (ahead.Fetch(Volatile.Read(ref _expected[thread * ShareStride]))) continue;
            if (Stopwatch.GetTimestamp() < deadline)
            {
                Thread.SpinWait(1);
                continue;
            }
            lock (_wake)
            {
                Interlocked.Increment(ref _parked);
                if (Volatile.Read(ref _gate) >> GenerationShift == generation) Monitor.Wait(_wake);
                Interlocked.Decrement(ref _parked);
            }
        }
        return gate;
    }

    // How far a thread has come with what it expects.
    private struct ReadAhead
    {
        private const int Line = 64, Lines = 8; // at a time
        private const long Most = 1 << 18; // of the second cache

        private nint _start;
        private long _done;

        // Fetches some lines, unless all have been.
        public bool Fetch(nint expected)
        {
            if (expected != _start) (_start, _done) = (expected, 0);
            if (expected == 0 || _done >= Most || !Sse.IsSupported) return false;
            byte* next = (byte*)expected + _done;
            for (int line = 0; line < Lines; line++) Sse.Prefetch1(next + line * Line);
            _done += Lines * Line;
            return true;
        }
    }
}
