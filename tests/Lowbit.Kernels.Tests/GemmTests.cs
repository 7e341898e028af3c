using System;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class GemmTests
{
    private static readonly (int M, int N, int K)[] s_shapes =
    [
        (1, 1, 1), (1, 1, 7), (3, 5, 2), (7, 31, 13), (8, 32, 16), (9, 33, 17), (6, 16, 64), (5, 15, 383), (17, 65, 385), (96, 128, 384),
        (97, 129, 400), (100, 1, 50), (1, 100, 50), (13, 300, 1), (200, 7, 769), (2, 4100, 3), (2310, 3, 5),
    ];

    private readonly WorkerPool _pool = new(2);

    [Fact]
    public void Scalar_kernel_agrees_with_double_precision() => EveryShape<GemmKernelScalar>();

    [Fact]
    public void Vector128_kernel_agrees_with_double_precision() => EveryShape<GemmKernelVector128>();

    [InstructionSetFact(nameof(Fma))]
    public void Avx2_kernel_agrees_with_double_precision() => EveryShape<GemmKernelAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_kernel_agrees_with_double_precision() => EveryShape<GemmKernelAvx512>();

    [Fact]
    public void Multiply_transposed_takes_rows_apart_and_leaves_the_gaps_alone()
    {
        foreach ((int m, int n, int k) in s_shapes)
        {
            int lda = k + 3, ldb = k + 1, ldc = n + 2;
            using NativeBuffer a = TestValues.Random((long)m * lda, 1), b = TestValues.Random((long)n * ldb, 2), c = TestValues.Filled((long)m * ldc, float.NaN);
            Gemm.MultiplyTransposed(_pool, a.Floats, lda, b.Floats, ldb, c.Floats, ldc, m, n, k);
            for (int i = 0; i < m; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double want = 0;
                    for (int p = 0; p < k; p++) want += (double)a.Floats[i * lda + p] * b.Floats[j * ldb + p];
                    Close(want, c.Floats[i * ldc + j], k, $"{m} x {n} x {k} at {i}, {j}");
                }
                Assert.True(float.IsNaN(c.Floats[i * ldc + n]) && float.IsNaN(c.Floats[i * ldc + n + 1]));
            }
        }
    }

    [Fact]
    public void Multiply_add_adds_the_scaled_product()
    {
        foreach ((int m, int n, int k) in s_shapes)
        {
            int lda = k + 2, ldb = n + 5, ldc = n + 1;
            using NativeBuffer a = TestValues.Random((long)m * lda, 1), b = TestValues.Random((long)k * ldb, 2), c = TestValues.Random((long)m * ldc, 3),
                before = TestValues.Random((long)m * ldc, 3);
            Gemm.MultiplyAdd(_pool, -0.75f, a.Floats, lda, b.Floats, ldb, c.Floats, ldc, m, n, k);
            for (int i = 0; i < m; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double sum = 0;
                    for (int p = 0; p < k; p++) sum += (double)a.Floats[i * lda + p] * b.Floats[p * ldb + j];
                    Close(before.Floats[i * ldc + j] - 0.75 * sum, c.Floats[i * ldc + j], k, $"{m} x {n} x {k} at {i}, {j}");
                }
                Assert.Equal(before.Floats[i * ldc + n], c.Floats[i * ldc + n]);
            }
        }
    }

    [Theory]
    [InlineData(1, 1, 0f)]
    [InlineData(40, 33, 0.5f)]
    [InlineData(400, 97, 0.25f)]
    [InlineData(3, 200, 0f)]
    [InlineData(16, 2400, 1f)]
    public void Gram_is_the_second_moment_and_symmetric_to_the_bit(int tokens, int features, float beta)
    {
        using NativeBuffer x = TestValues.Random((long)tokens * features, 4), h = TestValues.Filled((long)features * features, beta == 0 ? float.NaN : 2);
        Gemm.AccumulateGram(_pool, 0.125f, x.Floats, tokens, features, beta, h.Floats);
        Random random = new(5);
        for (int check = 0; check < 2000; check++)
        {
            int i = random.Next(features), j = random.Next(features);
            double sum = 0;
            for (int t = 0; t < tokens; t++) sum += (double)x.Floats[(long)t * features + i] * x.Floats[(long)t * features + j];
            Close((beta == 0 ? 0 : 2 * beta) + 0.125 * sum, h.Floats[(long)i * features + j], tokens, $"{i}, {j}");
            Assert.Equal(h.Floats[(long)j * features + i], h.Floats[(long)i * features + j]);
        }
    }

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        const int M = 300, N = 500, K = 800;
        using NativeBuffer a = TestValues.Random(M * K, 1), b = TestValues.Random(N * K, 2), one = new(M * N * 4), many = new(M * N * 4);
        using WorkerPool single = new(1), five = new(5);
        Gemm.MultiplyTransposed(single, a.Floats, K, b.Floats, K, one.Floats, N, M, N, K);
        Gemm.MultiplyTransposed(five, a.Floats, K, b.Floats, K, many.Floats, N, M, N, K);
        Assert.True(one.Span<float>(0, M * N).SequenceEqual(many.Span<float>(0, M * N)));
    }

    [Fact]
    public void Sums_over_nothing_are_zero()
    {
        using NativeBuffer c = TestValues.Filled(6, 7);
        Gemm.MultiplyTransposed(_pool, null, 0, null, 0, c.Floats, 3, 2, 3, 0);
        Assert.All(c.Span<float>(0, 6).ToArray(), value => Assert.Equal(0, value));
    }

    [Fact]
    public void Second_call_allocates_nothing()
    {
        const int Size = 200;
        using NativeBuffer a = TestValues.Random(Size * Size, 1), c = new(Size * Size * 4);
        Gemm.MultiplyTransposed(_pool, a.Floats, Size, a.Floats, Size, c.Floats, Size, Size, Size, Size);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Gemm.MultiplyTransposed(_pool, a.Floats, Size, a.Floats, Size, c.Floats, Size, Size, Size, Size);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private void EveryShape<TKernel>() where TKernel : IGemmKernel
    {
        foreach ((int m, int n, int k) in s_shapes)
        {
            using NativeBuffer a = TestValues.Random((long)m * k, 1), b = TestValues.Random((long)n * k, 2), c = TestValues.Filled((long)m * n, float.NaN);
            Gemm.Multiply<TKernel>(_pool, new(a.Floats, k, true), new(b.Floats, k, true), c.Floats, n, m, n, k, 1, 0, false);
            for (int i = 0; i < m; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double want = 0;
                    for (int p = 0; p < k; p++) want += (double)a.Floats[i * k + p] * b.Floats[j * k + p];
                    Close(want, c.Floats[i * n + j], k, $"{m} x {n} x {k} at {i}, {j}");
                }
            }
        }
    }

    // Factors lie within ±1, so the sum of absolute products is at most k and rounding at most about k · sqrt(k) · 2^-24.
    private static void Close(double want, float got, int k, string where) =>
        Assert.True(Math.Abs(want - got) <= 1e-6 * (1 + 0.2 * k), $"{where}: {got}, expected {want}");
}
