using System;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Benchmarks;

/// <summary>The float products in the shapes of prefill, Hessians and compensation.</summary>
internal static unsafe class GemmBench
{
    public static void Run(WorkerPool pool, double peakFlops)
    {
        foreach ((int m, int n, int k) in new[] { (2048, 1536, 576), (2048, 576, 1536), (128, 1536, 576), (16, 1536, 576), (512, 512, 512) })
        {
            using NativeBuffer a = Values.Random((long)m * k, 1), b = Values.Random((long)n * k, 2), c = new((long)m * n * 4);
            Gemm.MultiplyTransposed(pool, a.Floats, k, b.Floats, k, c.Floats, n, m, n, k);
            double want = 0;
            for (int p = 0; p < k; p++) want += (double)a.Floats[(long)(m - 1) * k + p] * b.Floats[(long)(n - 2) * k + p];
            Harness.Verify(Math.Abs(c.Floats[(long)m * n - 2] - want) < 1e-4 * k, "gemm");
            Timing[] timings = Harness.Time(
                () => Gemm.MultiplyTransposed(pool, a.Floats, k, b.Floats, k, c.Floats, n, m, n, k),
                () => Gemm.MultiplyAdd(pool, 1e-9f, a.Floats, k, b.Floats, n, c.Floats, n, m, n, k));
            Harness.Report($"a·bᵀ {m} x {n} x {k}", timings[0], 2.0 * m * n * k, "GFLOP/s", peakFlops, "peak");
            Harness.Report($"c += a·b {m} x {n} x {k}", timings[1], 2.0 * m * n * k, "GFLOP/s", peakFlops, "peak");
        }
        {
            const int Tokens = 2048, Features = 1536;
            using NativeBuffer x = Values.Random((long)Tokens * Features, 3), h = new((long)Features * Features * 4);
            Timing timing = Harness.Time(() => Gemm.AccumulateGram(pool, 1e-3f, x.Floats, Tokens, Features, 0.5f, h.Floats))[0];
            Harness.Report($"xᵀ·x {Tokens} x {Features}, one triangle", timing, 1.0 * Tokens * Features * (Features + 1), "GFLOP/s", peakFlops, "peak");
        }
    }
}
