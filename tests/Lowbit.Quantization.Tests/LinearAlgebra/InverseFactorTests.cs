using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Quantization.LinearAlgebra;
using Xunit;

namespace Lowbit.Quantization.Tests.LinearAlgebra;

public sealed class InverseFactorTests
{
    private static InverseFactor Factor(float[] h, int n, double ridge = 0, int[]? order = null, int threads = 2)
    {
        using var pool = new WorkerPool(threads);
        return InverseFactor.Create(pool, h, [.. Enumerable.Range(0, n).Select(j => h[j * n + j] + ridge)], order, "sample", CancellationToken.None);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(130)]
    [InlineData(201)]
    public void Product_of_the_factor_with_itself_is_the_inverse(int n)
    {
        float[] h = Samples.SymmetricPositive(n, n);
        double ridge = 0.01 * Enumerable.Range(0, n).Average(j => (double)h[j * n + j]);
        using InverseFactor u = Factor(h, n, ridge);
        double[,] inverse = Samples.Inverse(Samples.Trailing(h, n, 0, ridge));
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
            {
                if (j < i) Assert.Equal(0, u[i, j]);
                double sum = 0;
                for (int p = 0; p <= Math.Min(i, j); p++) sum += (double)u[p, i] * u[p, j];
                Assert.InRange(sum - inverse[i, j], -2e-6 * Math.Sqrt(inverse[i, i] * inverse[j, j]), 2e-6 * Math.Sqrt(inverse[i, i] * inverse[j, j]));
            }
    }

    [Fact]
    public void Squared_diagonal_is_the_first_entry_of_the_inverse_of_the_trailing_part()
    {
        const int N = 21;
        float[] h = Samples.SymmetricPositive(N, 5);
        using InverseFactor u = Factor(h, N);
        for (int j = 0; j < N; j++)
        {
            double expected = Samples.Inverse(Samples.Trailing(h, N, j))[0, 0];
            Assert.InRange(u[j, j] * (double)u[j, j] / expected, 1 - 1e-6, 1 + 1e-6);
        }
    }

    [Fact]
    public void Two_by_two_by_hand()
    {
        // H = [4 2; 2 5], H⁻¹ = [5 −2; −2 4] / 16, U = [√5/4  −1/(2√5); 0  1/√5]
        using InverseFactor u = Factor([4, 2, 2, 5], 2);
        Assert.Equal(Math.Sqrt(5) / 4, u[0, 0], 1e-7);
        Assert.Equal(-0.5 / Math.Sqrt(5), u[0, 1], 1e-7);
        Assert.Equal(0, u[1, 0]);
        Assert.Equal(1 / Math.Sqrt(5), u[1, 1], 1e-7);
    }

    [Fact]
    public void Order_is_the_same_as_a_permuted_matrix()
    {
        const int N = 70;
        float[] h = Samples.SymmetricPositive(N, 3);
        int[] order = [.. Enumerable.Range(0, N).Select(j => (j * 29 + 11) % N)];
        var permuted = new float[N * N];
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) permuted[i * N + j] = h[order[i] * N + order[j]];
        using InverseFactor byOrder = Factor(h, N, 0.5, order), byHand = Factor(permuted, N, 0.5);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) Assert.Equal(byHand[i, j], byOrder[i, j]);
    }

    [Fact]
    public void Number_of_threads_changes_no_bit()
    {
        const int N = 333;
        float[] h = Samples.SymmetricPositive(N, 8);
        using InverseFactor one = Factor(h, N, threads: 1), three = Factor(h, N, threads: 3);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) Assert.Equal(one[i, j], three[i, j]);
    }

    [Theory]
    [InlineData(new float[] { 1, 2, 2, 1 })]
    [InlineData(new float[] { 1, 1, 1, 1 })]
    [InlineData(new float[] { 0, 0, 0, 1 })]
    [InlineData(new float[] { 1, 0, 0, float.NaN })]
    public void Matrix_that_is_not_positive_definite_asks_for_damping(float[] h)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => Factor(h, 2));
        Assert.Contains("--damping", e.Message, StringComparison.Ordinal);
        Assert.StartsWith("sample:", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancellation_stops_it()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => InverseFactor.Create(Samples.Pool, [1], [1.0], [], "sample", cancellation.Token));
    }
}
