using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Benchmarks;

/// <summary>What this machine can do at most: the roofs that results are held against.</summary>
internal static unsafe class Machine
{
    /// <summary>Multiplications and additions a second, in floating-point operations, of all threads of the pool.</summary>
    public static double PeakFlops(WorkerPool pool)
    {
        const int Steps = 20_000;
        FmaWork work = new() { Steps = Steps };
        double seconds = Harness.Time(() => pool.Run(ref work, pool.Threads, 1))[0].Best;
        return 2.0 * Steps * 16 * FmaWork.Lanes * pool.Threads / seconds;
    }

    /// <summary>
    /// Multiplications and additions a second of bytes that are summed in 16 bits (vpmaddubsw and vpaddw), of all threads of
    /// the pool; without AVX2 the floating-point peak, which is nearest.
    /// </summary>
    public static double PeakByteProducts(WorkerPool pool)
    {
        if (!Avx2.IsSupported) return PeakFlops(pool);
        const int Steps = 20_000;
        ByteWork work = new() { Steps = Steps };
        double seconds = Harness.Time(() => pool.Run(ref work, pool.Threads, 1))[0].Best;
        return 2.0 * Steps * 8 * (ByteWork.IsWide ? 64 : 32) * pool.Threads / seconds;
    }

    /// <summary>Bytes a second that all threads read from memory that fits no cache.</summary>
    public static double ReadBandwidth(WorkerPool pool)
    {
        const long Bytes = 256L << 20;
        using NativeBuffer buffer = new(Bytes);
        buffer.Span<byte>(0, (int)Bytes).Fill(1); // pages that were never written are all one page of zeros, which the cache holds
        ReadWork work = new() { Source = buffer.Pointer };
        double seconds = Harness.Time(() => pool.Run(ref work, (int)(Bytes / ReadWork.Block), 4))[0].Best;
        return Bytes / seconds;
    }

    private struct FmaWork : IParallelWork
    {
        public int Steps;
        private float _sink;

        public static int Lanes => Vector512.IsHardwareAccelerated && Avx512F.IsSupported ? 16 : Fma.IsSupported ? 8 : 4;

        public void Execute(int start, int end)
        {
            if (Vector512.IsHardwareAccelerated && Avx512F.IsSupported) Run512();
            else if (Fma.IsSupported) Run256();
            else Run128();
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run512()
        {
            Vector512<float> x = Vector512.Create(0.999f), a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
            for (int i = 0; i < 2 * Steps; i++)
            {
                a = Avx512F.FusedMultiplyAdd(a, x, x); b = Avx512F.FusedMultiplyAdd(b, x, x);
                c = Avx512F.FusedMultiplyAdd(c, x, x); d = Avx512F.FusedMultiplyAdd(d, x, x);
                e = Avx512F.FusedMultiplyAdd(e, x, x); f = Avx512F.FusedMultiplyAdd(f, x, x);
                g = Avx512F.FusedMultiplyAdd(g, x, x); h = Avx512F.FusedMultiplyAdd(h, x, x);
            }
            _sink = Vector512.Sum(a + b + c + d + e + f + g + h);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run256()
        {
            Vector256<float> x = Vector256.Create(0.999f), a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
            for (int i = 0; i < 2 * Steps; i++)
            {
                a = Fma.MultiplyAdd(a, x, x); b = Fma.MultiplyAdd(b, x, x); c = Fma.MultiplyAdd(c, x, x); d = Fma.MultiplyAdd(d, x, x);
                e = Fma.MultiplyAdd(e, x, x); f = Fma.MultiplyAdd(f, x, x); g = Fma.MultiplyAdd(g, x, x); h = Fma.MultiplyAdd(h, x, x);
            }
            _sink = Vector256.Sum(a + b + c + d + e + f + g + h);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run128()
        {
            Vector128<float> x = Vector128.Create(0.999f), a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x;
            for (int i = 0; i < 2 * Steps; i++)
            {
                a = a * x + x; b = b * x + x; c = c * x + x; d = d * x + x;
                e = e * x + x; f = f * x + x; g = g * x + x; h = h * x + x;
            }
            _sink = Vector128.Sum(a + b + c + d + e + f + g + h);
        }
    }

    private struct ByteWork : IParallelWork
    {
        public int Steps;
        private short _sink;

        public static bool IsWide => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported;

        public void Execute(int start, int end)
        {
            if (IsWide) Run512();
            else Run256();
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run512()
        {
            Vector512<byte> w = Vector512.Create((byte)Steps);
            Vector512<short> a = default, b = default, c = default, d = default, e = default, f = default, g = default, h = default;
            for (int i = 0; i < Steps; i++)
            {
                a += Avx512BW.MultiplyAddAdjacent(w, a.AsSByte()); b += Avx512BW.MultiplyAddAdjacent(w, b.AsSByte());
                c += Avx512BW.MultiplyAddAdjacent(w, c.AsSByte()); d += Avx512BW.MultiplyAddAdjacent(w, d.AsSByte());
                e += Avx512BW.MultiplyAddAdjacent(w, e.AsSByte()); f += Avx512BW.MultiplyAddAdjacent(w, f.AsSByte());
                g += Avx512BW.MultiplyAddAdjacent(w, g.AsSByte()); h += Avx512BW.MultiplyAddAdjacent(w, h.AsSByte());
            }
            _sink = Vector512.Sum(a + b + c + d + e + f + g + h);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run256()
        {
            Vector256<byte> w = Vector256.Create((byte)Steps);
            Vector256<short> a = default, b = default, c = default, d = default, e = default, f = default, g = default, h = default;
            for (int i = 0; i < Steps; i++)
            {
                a += Avx2.MultiplyAddAdjacent(w, a.AsSByte()); b += Avx2.MultiplyAddAdjacent(w, b.AsSByte());
                c += Avx2.MultiplyAddAdjacent(w, c.AsSByte()); d += Avx2.MultiplyAddAdjacent(w, d.AsSByte());
                e += Avx2.MultiplyAddAdjacent(w, e.AsSByte()); f += Avx2.MultiplyAddAdjacent(w, f.AsSByte());
                g += Avx2.MultiplyAddAdjacent(w, g.AsSByte()); h += Avx2.MultiplyAddAdjacent(w, h.AsSByte());
            }
            _sink = Vector256.Sum(a + b + c + d + e + f + g + h);
        }
    }

    private struct ReadWork : IParallelWork
    {
        public const int Block = 1 << 20;
        public byte* Source;
        private long _sink;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Execute(int start, int end)
        {
            Vector256<long> a = default, b = default, c = default, d = default;
            for (byte* p = Source + (long)start * Block; p < Source + (long)end * Block; p += 128)
            {
                a ^= Vector256.Load((long*)p);
                b ^= Vector256.Load((long*)(p + 32));
                c ^= Vector256.Load((long*)(p + 64));
                d ^= Vector256.Load((long*)(p + 96));
            }
            _sink = Vector256.Sum(a ^ b ^ c ^ d);
        }
    }
}
