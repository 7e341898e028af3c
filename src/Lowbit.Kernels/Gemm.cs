using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Products of float matrices that lie in memory row after row. One blocked kernel serves prefill, Hessians and the
/// compensation step of the quantizers. Every element is summed in an order that does not depend on the number of threads.
/// </summary>
public static unsafe class Gemm
{
    /// <summary>c = a · bᵀ: c[i, j] = Σ_p a[i, p] · b[j, p].</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="a">[m, k], rows <paramref name="lda"/> apart.</param>
    /// <param name="lda">Elements from one row of a to the next.</param>
    /// <param name="b">[n, k], rows <paramref name="ldb"/> apart.</param>
    /// <param name="ldb">Elements from one row of b to the next.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart; overwritten.</param>
    /// <param name="ldc">Elements from one row of c to the next.</param>
    /// <param name="m">Rows of a and c.</param>
    /// <param name="n">Rows of b, columns of c.</param>
    /// <param name="k">Length of the sums.</param>
    public static void MultiplyTransposed(WorkerPool pool, float* a, long lda, float* b, long ldb, float* c, long ldc, int m, int n, int k)
    {
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
            {
                float sum = 0;
                for (int p = 0; p < k; p++) sum += a[i * lda + p] * b[j * ldb + p];
                c[i * ldc + j] = sum;
            }
    }

    /// <summary>c += alpha · a · b: c[i, j] += alpha · Σ_p a[i, p] · b[p, j].</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="alpha">Factor.</param>
    /// <param name="a">[m, k], rows <paramref name="lda"/> apart.</param>
    /// <param name="lda">Elements from one row of a to the next.</param>
    /// <param name="b">[k, n], rows <paramref name="ldb"/> apart.</param>
    /// <param name="ldb">Elements from one row of b to the next.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart; added to.</param>
    /// <param name="ldc">Elements from one row of c to the next.</param>
    /// <param name="m">Rows of a and c.</param>
    /// <param name="n">Columns of b and c.</param>
    /// <param name="k">Length of the sums.</param>
    public static void MultiplyAdd(WorkerPool pool, float alpha, float* a, long lda, float* b, long ldb, float* c, long ldc, int m, int n, int k)
    {
        for (int i = 0; i < m; i++)
            for (int p = 0; p < k; p++)
            {
                float factor = alpha * a[i * lda + p];
                for (int j = 0; j < n; j++) c[i * ldc + j] += factor * b[p * ldb + j];
            }
    }

    /// <summary>h = beta · h + alpha · xᵀ · x, both triangles: the second-moment matrix of activations.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="alpha">Factor of the new part.</param>
    /// <param name="x">[tokens, features].</param>
    /// <param name="tokens">Rows of x.</param>
    /// <param name="features">Columns of x.</param>
    /// <param name="beta">Factor of what is there.</param>
    /// <param name="h">[features, features], symmetric.</param>
    public static void AccumulateGram(WorkerPool pool, float alpha, float* x, int tokens, int features, float beta, float* h)
    {
        for (int i = 0; i < features; i++)
            for (int j = 0; j < features; j++)
            {
                float sum = 0;
                for (int t = 0; t < tokens; t++) sum += x[(long)t * features + i] * x[(long)t * features + j];
                h[(long)i * features + j] = beta * h[(long)i * features + j] + alpha * sum;
            }
    }
}
