using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void Every_item_is_done_once_in_chunks_that_do_not_depend_on_the_threads(int threads)
    {
        using WorkerPool pool = new(threads);
        foreach ((int count, int grain) in new[] { (0, 1), (1, 1), (5, 10), (100, 7), (1000, 1), (1003, 64) })
        {
            int[] done = new int[count];
            Counting work = new() { Done = done, Grain = grain };
            for (int round = 0; round < 20; round++) pool.Run(ref work, count, grain);
            Assert.All(done, times => Assert.Equal(20, times));
        }
    }

    [Fact]
    public void What_threads_expect_is_where_they_begin_and_need_not_be_valid()
    {
        using WorkerPool pool = new(3);
        int[] first = [pool.FirstItem(0, 100, 7), pool.FirstItem(1, 100, 7), pool.FirstItem(2, 100, 7)];
        Assert.Equal([0, 35, 70], first); // of 15 chunks
        for (int round = 0; round < 50; round++)
        {
            for (int thread = 0; thread < 3; thread++) pool.Expect(thread, round % 3 == 0 ? null : (byte*)(64 * (round + 1) + thread));
            int[] done = new int[100];
            Counting work = new() { Done = done, Grain = 7 };
            pool.Run(ref work, 100, 7);
            Assert.All(done, times => Assert.Equal(1, times));
        }
    }

    [Fact]
    public void An_exception_of_any_chunk_reaches_the_caller_and_the_pool_goes_on()
    {
        using WorkerPool pool = new(4);
        for (int round = 0; round < 200; round++)
        {
            Failing failing = new() { At = round % 50 };
            Assert.Equal("chunk", Assert.Throws<InvalidOperationException>(() => pool.Run(ref failing, 50, 1)).Message);
            int[] done = new int[40];
            Counting counting = new() { Done = done, Grain = 4 };
            pool.Run(ref counting, 40, 4);
            Assert.All(done, times => Assert.Equal(1, times));
        }
    }

    [Fact]
    public void A_thread_that_has_taken_several_chunks_begins_no_other_after_the_failure_of_another_thread()
    {
        using WorkerPool pool = new(2);
        using ManualResetEventSlim first = new(), failed = new();
        int[] begun = new int[80];
        FailingInSecondHalf work = new() { Begun = begun, First = first, Failed = failed };
        Assert.Throws<InvalidOperationException>(() => pool.Run(ref work, 80, 1));
        Assert.Equal([0, 40], Enumerable.Range(0, 80).Where(i => begun[i] != 0));
    }

    [Fact]
    public void Calls_of_several_threads_take_turns()
    {
        using WorkerPool pool = new(3);
        Parallel.For(0, 8, _ =>
        {
            for (int round = 0; round < 300; round++)
            {
                int[] done = new int[64];
                Counting work = new() { Done = done, Grain = 4 };
                pool.Run(ref work, 64, 4);
                Assert.All(done, times => Assert.Equal(1, times));
            }
        });
    }

    [Fact]
    public void A_call_from_within_work_is_done_by_the_calling_thread()
    {
        using WorkerPool pool = new(3);
        int[] done = new int[12 * 10];
        Nested work = new() { Pool = pool, Done = done };
        pool.Run(ref work, 12, 1);
        Assert.All(done, times => Assert.Equal(1, times));
    }

    [Fact]
    public void Run_allocates_nothing()
    {
        using WorkerPool pool = new(2);
        Counting work = new() { Done = new int[100], Grain = 5 };
        pool.Run(ref work, 100, 5);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) pool.Run(ref work, 100, 5);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Work_is_done_after_the_threads_have_gone_to_sleep()
    {
        using WorkerPool pool = new(4);
        for (int round = 0; round < 10; round++)
        {
            Thread.Sleep(5);
            int[] done = new int[32];
            Counting work = new() { Done = done, Grain = 1 };
            pool.Run(ref work, 32, 1);
            Assert.All(done, times => Assert.Equal(1, times));
        }
    }

    [Fact]
    public void Dispose_ends_the_threads_and_may_be_repeated()
    {
        for (int round = 0; round < 20; round++)
        {
            WorkerPool pool = new(5);
            Counting work = new() { Done = new int[10], Grain = 1 };
            if (round % 2 == 0) pool.Run(ref work, 10, 1);
            pool.Dispose();
            pool.Dispose();
            Assert.Throws<ObjectDisposedException>(() => pool.Run(ref work, 10, 1));
        }
    }

    [Fact]
    public void Work_in_an_object_that_the_collector_would_move_is_found_by_every_thread()
    {
        using WorkerPool pool = new(4);
        for (int round = 0; round < 20; round++)
        {
            byte[]?[] before = new byte[100][];
            for (int i = 0; i < before.Length; i++) before[i] = new byte[1000]; // what follows moves when they go
            Box box = new() { Work = new Collecting { Done = new int[16], Mark = 42 } };
            Array.Clear(before);
            pool.Run(ref box.Work, 16, 1);
            Assert.All(box.Work.Done, mark => Assert.Equal(42, mark));
        }
    }

    [Fact]
    public void Several_threads_really_work()
    {
        using WorkerPool pool = new(2);
        using Barrier barrier = new(2);
        Meeting work = new() { Barrier = barrier };
        pool.Run(ref work, 2, 1); // does not end unless both items run at the same time
        Assert.Equal(1, barrier.CurrentPhaseNumber);
    }

    private struct Counting : IParallelWork
    {
        public int[] Done;
        public int Grain;

        public readonly void Execute(int start, int end)
        {
            Assert.True(start % Grain == 0 && (end - start == Grain || end == Done.Length));
            for (int i = start; i < end; i++) Interlocked.Increment(ref Done[i]);
        }
    }

    private sealed class Box
    {
        public Collecting Work;
    }

    private struct Collecting : IParallelWork
    {
        public int[] Done;
        public int Mark;

        public readonly void Execute(int start, int end)
        {
            if (start % 4 == 1) GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
            for (int i = start; i < end; i++) Done[i] = Mark;
        }
    }

    private struct Failing : IParallelWork
    {
        public int At;

        public readonly void Execute(int start, int end)
        {
            if (start == At) throw new InvalidOperationException("chunk");
        }
    }

    private struct FailingInSecondHalf : IParallelWork
    {
        public int[] Begun;
        public ManualResetEventSlim First, Failed;

        public readonly void Execute(int start, int end)
        {
            Begun[start]++;
            if (start == 40)
            {
                First.Wait(TimeSpan.FromMinutes(1));
                Failed.Set();
                throw new InvalidOperationException("chunk");
            }
            First.Set();
            Failed.Wait(TimeSpan.FromMinutes(1));
            Thread.Sleep(500); // until the pool has seen it
        }
    }

    private struct Nested : IParallelWork
    {
        public WorkerPool Pool;
        public int[] Done;

        public readonly void Execute(int start, int end)
        {
            Inner inner = new() { Done = Done, Offset = 10 * start };
            Pool.Run(ref inner, 10, 3);
        }
    }

    private struct Inner : IParallelWork
    {
        public int[] Done;
        public int Offset;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++) Interlocked.Increment(ref Done[Offset + i]);
        }
    }

    private struct Meeting : IParallelWork
    {
        public Barrier Barrier;

        public readonly void Execute(int start, int end) => Barrier.SignalAndWait();
    }
}
