using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Quantization.LinearAlgebra;

/// <summary>
/// The one inner loop of the factorization: a tile of 4 x 8 doubles plus a product of depth k, summed in order of p.
/// The left factor is addressed with two strides, so that it serves both a · b and aᵀ · b.
/// </summary>
internal static unsafe class DoubleTile
{
    public const int Rows = 4;
    public const int Columns = 8;

    /// <summary>sum[i, j] = Σ_p a[i, p] · b[p, j], then c = sum or c −= sum, for i &lt; 4 and j &lt; 8.</summary>
    /// <param name="a">a[i, p] lies at i · rowStride + p · depthStride.</param>
    /// <param name="rowStride">Elements from a[i, p] to a[i + 1, p].</param>
    /// <param name="depthStride">Elements from a[i, p] to a[i, p + 1].</param>
    /// <param name="b">b[p, j] lies at p · ldb + j.</param>
    /// <param name="ldb">Elements from one row of b to the next.</param>
    /// <param name="depth">Length of the sums.</param>
    /// <param name="c">c[i, j] lies at i · ldc + j.</param>
    /// <param name="ldc">Elements from one row of c to the next.</param>
    /// <param name="subtract">Whether c −= sum; otherwise c = sum.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply(double* a, long rowStride, long depthStride, double* b, long ldb, int depth, double* c, long ldc, bool subtract)
    {
        Vector256<double> s00 = default, s01 = default, s10 = default, s11 = default;
        Vector256<double> s20 = default, s21 = default, s30 = default, s31 = default;
        for (int p = 0; p < depth; p++, a += depthStride, b += ldb)
        {
            Vector256<double> b0 = Vector256.Load(b), b1 = Vector256.Load(b + 4);
            Vector256<double> x = Vector256.Create(a[0]);
            s00 = Vector256.FusedMultiplyAdd(x, b0, s00);
            s01 = Vector256.FusedMultiplyAdd(x, b1, s01);
            x = Vector256.Create(a[rowStride]);
            s10 = Vector256.FusedMultiplyAdd(x, b0, s10);
            s11 = Vector256.FusedMultiplyAdd(x, b1, s11);
            x = Vector256.Create(a[2 * rowStride]);
            s20 = Vector256.FusedMultiplyAdd(x, b0, s20);
            s21 = Vector256.FusedMultiplyAdd(x, b1, s21);
            x = Vector256.Create(a[3 * rowStride]);
            s30 = Vector256.FusedMultiplyAdd(x, b0, s30);
            s31 = Vector256.FusedMultiplyAdd(x, b1, s31);
        }
        Store(c, s00, s01, subtract);
        Store(c + ldc, s10, s11, subtract);
        Store(c + 2 * ldc, s20, s21, subtract);
        Store(c + 3 * ldc, s30, s31, subtract);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(double* c, Vector256<double> sum0, Vector256<double> sum1, bool subtract)
    {
        (subtract ? Vector256.Load(c) - sum0 : sum0).Store(c);
        (subtract ? Vector256.Load(c + 4) - sum1 : sum1).Store(c + 4);
    }
}
