using System.Runtime.Intrinsics;

namespace Lowbit.Kernels;

/// <summary>Tile of 4 × 8 for every machine with 128-bit vectors.</summary>
internal readonly unsafe struct GemmKernelVector128 : IGemmKernel
{
    public static int Rows => 4;

    public static int Columns => 8;

    public static void Run(int k, float* a, float* b, float* c, long ldc, float alpha, float beta)
    {
        Vector128<float> c00 = default, c01 = default;
        Vector128<float> c10 = default, c11 = default;
        Vector128<float> c20 = default, c21 = default;
        Vector128<float> c30 = default, c31 = default;
        for (int p = 0; p < k; p++)
        {
            Vector128<float> b0 = Vector128.Load(b), b1 = Vector128.Load(b + 4);
            Vector128<float> a0 = Vector128.Create(a[0]);
            c00 = Vector128.MultiplyAddEstimate(a0, b0, c00);
            c01 = Vector128.MultiplyAddEstimate(a0, b1, c01);
            Vector128<float> a1 = Vector128.Create(a[1]);
            c10 = Vector128.MultiplyAddEstimate(a1, b0, c10);
            c11 = Vector128.MultiplyAddEstimate(a1, b1, c11);
            Vector128<float> a2 = Vector128.Create(a[2]);
            c20 = Vector128.MultiplyAddEstimate(a2, b0, c20);
            c21 = Vector128.MultiplyAddEstimate(a2, b1, c21);
            Vector128<float> a3 = Vector128.Create(a[3]);
            c30 = Vector128.MultiplyAddEstimate(a3, b0, c30);
            c31 = Vector128.MultiplyAddEstimate(a3, b1, c31);
            a += 4;
            b += 8;
        }
        Store(c, c00, c01, alpha, beta);
        Store(c + ldc, c10, c11, alpha, beta);
        Store(c + 2 * ldc, c20, c21, alpha, beta);
        Store(c + 3 * ldc, c30, c31, alpha, beta);
    }

    private static void Store(float* c, Vector128<float> sum0, Vector128<float> sum1, float alpha, float beta)
    {
        sum0 *= alpha;
        sum1 *= alpha;
        if (beta != 0)
        {
            sum0 += beta * Vector128.Load(c);
            sum1 += beta * Vector128.Load(c + 4);
        }
        sum0.Store(c);
        sum1.Store(c + 4);
    }
}
