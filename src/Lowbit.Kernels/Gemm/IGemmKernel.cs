namespace Lowbit.Kernels;

/// <summary>
/// The innermost product: one tile of c from a panel of a, [k, <see cref="Rows"/>], and a panel of b,
/// [k, <see cref="Columns"/>], both contiguous.
/// </summary>
internal unsafe interface IGemmKernel
{
    /// <summary>Rows of the tile.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of the tile.</summary>
    static abstract int Columns { get; }

    /// <summary>c[i, j] = beta · c[i, j] + alpha · Σ_p a[p, i] · b[p, j]; with beta 0 c is not read.</summary>
    static abstract void Run(int k, float* a, float* b, float* c, long ldc, float alpha, float beta);
}
