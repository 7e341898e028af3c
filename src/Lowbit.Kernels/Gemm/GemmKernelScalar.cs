namespace Lowbit.Kernels;

/// <summary>Tile of 4 × 4 without vectors: the oracle of the others.</summary>
internal readonly unsafe struct GemmKernelScalar : IGemmKernel
{
    public static int Rows => 4;

    public static int Columns => 4;

    public static void Run(int k, float* a, float* b, float* c, long ldc, float alpha, float beta)
    {
        for (int i = 0; i < 4; i++)
        {
            float sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
            for (int p = 0; p < k; p++)
            {
                float factor = a[4 * p + i];
                sum0 += factor * b[4 * p];
                sum1 += factor * b[4 * p + 1];
                sum2 += factor * b[4 * p + 2];
                sum3 += factor * b[4 * p + 3];
            }
            float* row = c + i * ldc;
            row[0] = Blend(row, sum0, alpha, beta);
            row[1] = Blend(row + 1, sum1, alpha, beta);
            row[2] = Blend(row + 2, sum2, alpha, beta);
            row[3] = Blend(row + 3, sum3, alpha, beta);
        }
    }

    private static float Blend(float* c, float sum, float alpha, float beta) =>
        beta == 0 ? alpha * sum : alpha * sum + beta * *c;
}
