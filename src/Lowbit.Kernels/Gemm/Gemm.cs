using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// Products of float matrices that lie in memory row after row. One blocked kernel serves prefill, Hessians and the
/// compensation step of the quantizers. Every element is summed in an order that does not depend on the number of threads.
/// </summary>
/// <remarks>
/// Both operands are copied block by block into panels that the kernel of this machine reads in order; the panels of the
/// calling thread are kept, at most 10 MiB, so that nothing is allocated from the second call on.
/// </remarks>
public static unsafe class Gemm
{
    // What is packed at once.
    private const int BlockK = 768;
    private const int BlockM = 1152;
    private const int BlockN = 2048;

    // A tile's part of c, 48 KiB, and what is multiplied for it at a time, 96 KiB of a and 128 of b, stay in the second-level cache; a panel of b
    // is 32 KiB. 96 is a multiple of all kernels' rows.
    private const int TileK = 256;
    private const int TileRows = 96;
    private const int TileColumns = 128;

    // Below this many multiplications the threads are not woken.
    private const long SerialWork = 1 << 16;

    [ThreadStatic]
    private static NativeBuffer? t_panels;

    /// <summary>The widths in bits of its kernels.</summary>
    internal static IReadOnlyList<int> Widths => VectorLimit.Widths(HasAvx512, HasFma, HasVector128);

    private static bool HasAvx512 => Vector512.IsHardwareAccelerated && Avx512F.IsSupported && VectorLimit.Bits >= 512;

    private static bool HasFma => Fma.IsSupported && VectorLimit.Bits >= 256;

    private static bool HasVector128 => Vector128.IsHardwareAccelerated && VectorLimit.Bits >= 128;

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
    public static void MultiplyTransposed(WorkerPool pool, float* a, long lda, float* b, long ldb, float* c, long ldc, int m, int n, int k) =>
        Multiply(pool, new Operand(a, lda, true), new Operand(b, ldb, true), c, ldc, m, n, k, alpha: 1, beta: 0, upperOnly: false);

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
    public static void MultiplyAdd(WorkerPool pool, float alpha, float* a, long lda, float* b, long ldb, float* c, long ldc, int m, int n, int k) =>
        Multiply(pool, new Operand(a, lda, true), new Operand(b, ldb, false), c, ldc, m, n, k, alpha, beta: 1, upperOnly: false);

    /// <summary>c += aᵀ · b: c[i, j] += Σ_p a[p, i] · b[p, j], the gradient of a weight from those of its outputs and its inputs.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="a">[k, m], rows <paramref name="lda"/> apart.</param>
    /// <param name="lda">Elements from one row of a to the next.</param>
    /// <param name="b">[k, n], rows <paramref name="ldb"/> apart.</param>
    /// <param name="ldb">Elements from one row of b to the next.</param>
    /// <param name="c">[m, n], rows <paramref name="ldc"/> apart; added to.</param>
    /// <param name="ldc">Elements from one row of c to the next.</param>
    /// <param name="m">Columns of a, rows of c.</param>
    /// <param name="n">Columns of b and c.</param>
    /// <param name="k">Length of the sums.</param>
    public static void MultiplyLeftTransposedAdd(WorkerPool pool, float* a, long lda, float* b, long ldb, float* c, long ldc, int m, int n, int k) =>
        Multiply(pool, new Operand(a, lda, false), new Operand(b, ldb, false), c, ldc, m, n, k, alpha: 1, beta: 1, upperOnly: false);

    /// <summary>h = beta · h + alpha · xᵀ · x, both triangles: the second-moment matrix of activations.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="alpha">Factor of the new part.</param>
    /// <param name="x">[tokens, features].</param>
    /// <param name="tokens">Rows of x.</param>
    /// <param name="features">Columns of x.</param>
    /// <param name="beta">Factor of what is there; with 0 it is not read.</param>
    /// <param name="h">[features, features], symmetric; only the upper triangle is read.</param>
    public static void AccumulateGram(WorkerPool pool, float alpha, float* x, int tokens, int features, float beta, float* h)
    {
        Operand operand = new(x, features, false);
        Multiply(pool, operand, operand, h, features, features, features, tokens, alpha, beta, upperOnly: true);
        MirrorWork mirror = new() { Matrix = h, Size = features };
        int blocks = Panels(features, MirrorWork.Block);
        pool.Run(ref mirror, blocks, (long)features * features < SerialWork ? blocks : 1);
    }

    private static void Multiply(
        WorkerPool pool, Operand a, Operand b, float* c, long ldc, int m, int n, int k, float alpha, float beta, bool upperOnly)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(m);
        ArgumentOutOfRangeException.ThrowIfNegative(n);
        ArgumentOutOfRangeException.ThrowIfNegative(k);
        if (m == 0 || n == 0) return;
        if (k == 0)
        {
            Scale(c, ldc, m, n, beta);
            return;
        }
        if (HasAvx512) Multiply<GemmKernelAvx512>(pool, a, b, c, ldc, m, n, k, alpha, beta, upperOnly);
        else if (HasFma) Multiply<GemmKernelAvx2>(pool, a, b, c, ldc, m, n, k, alpha, beta, upperOnly);
        else if (HasVector128) Multiply<GemmKernelVector128>(pool, a, b, c, ldc, m, n, k, alpha, beta, upperOnly);
        else Multiply<GemmKernelScalar>(pool, a, b, c, ldc, m, n, k, alpha, beta, upperOnly);
    }

    /// <summary>The blocked product with a given kernel.</summary>
    internal static void Multiply<TKernel>(
        WorkerPool pool, Operand a, Operand b, float* c, long ldc, int m, int n, int k, float alpha, float beta, bool upperOnly)
        where TKernel : IGemmKernel
    {
        int blockK = EvenBlock(k, BlockK), blockM = EvenBlock(m, BlockM), blockN = EvenBlock(n, BlockN);
        long panelsA = (long)RoundUp(blockM, TKernel.Rows) * blockK, panelsB = (long)RoundUp(blockN, TKernel.Columns) * blockK;
        float* panels = (float*)Scratch.Ensure(ref t_panels, (panelsA + panelsB) * sizeof(float));
        for (int j = 0; j < n; j += blockN)
            for (int p = 0; p < k; p += blockK)
                for (int i = 0; i < m; i += blockM)
                {
                    int rows = Math.Min(blockM, m - i), columns = Math.Min(blockN, n - j), depth = Math.Min(blockK, k - p);
                    if (upperOnly && j + columns <= i) continue;
                    bool serial = (long)rows * columns * depth < SerialWork;
                    PackWork pack = new()
                    {
                        A = a.Part(i, p),
                        B = b.Part(j, p),
                        PanelsA = panels,
                        PanelsB = panels + panelsA,
                        Rows = rows,
                        Columns = columns,
                        K = depth,
                        KernelRows = TKernel.Rows,
                        KernelColumns = TKernel.Columns,
                        // a block of b serves all blocks of rows
                        FirstPanel = i == 0 ? 0 : Panels(columns, TKernel.Columns),
                    };
                    int packCount = Panels(columns, TKernel.Columns) + Panels(rows, TKernel.Rows) - pack.FirstPanel;
                    pool.Run(ref pack, packCount, serial ? packCount : 4);
                    TileWork<TKernel> tiles = new()
                    {
                        PanelsA = panels,
                        PanelsB = panels + panelsA,
                        C = c + i * ldc + j,
                        Ldc = ldc,
                        Rows = rows,
                        Columns = columns,
                        K = depth,
                        StepK = EvenBlock(depth, TileK),
                        Alpha = alpha,
                        Beta = p == 0 ? beta : 1,
                        // columns at and left of this one are below the diagonal in row 0
                        Diagonal = upperOnly ? i - j : int.MinValue / 2,
                    };
                    int tileCount = Panels(rows, TileRows) * Panels(columns, TileColumns);
                    pool.Run(ref tiles, tileCount, serial ? tileCount : 1);
                }
    }

    private static void Scale(float* c, long ldc, int m, int n, float beta)
    {
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
    }

    private static int Panels(int count, int width) => (count + width - 1) / width;

    private static int RoundUp(int count, int multiple) => Panels(count, multiple) * multiple;

    // 576 is better cut into three times 192 than into 256, 256 and 64; multiples of 96 keep the tiles whole.
    private static int EvenBlock(int count, int limit)
    {
        int blocks = Panels(count, limit);
        return blocks == 1 ? count : Math.Min(limit, RoundUp(Panels(count, blocks), TileRows));
    }

    /// <summary>A factor of the product; <paramref name="Transposed"/> when the summed index runs along its rows.</summary>
    internal readonly record struct Operand(nint Address, long Stride, bool Transposed)
    {
        public Operand(float* pointer, long stride, bool transposed) : this((nint)pointer, stride, transposed) { }

        /// <summary>The part that begins at outer index <paramref name="i"/> and summed index <paramref name="p"/>.</summary>
        public Operand Part(int i, int p) =>
            this with { Address = (nint)((float*)Address + (Transposed ? i * Stride + p : p * Stride + i)) };

        public void Pack(int start, int count, int k, int width, float* panel)
        {
            float* source = (float*)Part(start, 0).Address;
            if (Transposed) PanelPacking.Transposed(source, Stride, count, k, width, panel);
            else PanelPacking.Straight(source, Stride, count, k, width, panel);
        }
    }

    private struct PackWork : IParallelWork
    {
        public Operand A, B;
        public float* PanelsA, PanelsB;
        public int Rows, Columns, K, KernelRows, KernelColumns, FirstPanel;

        public readonly void Execute(int start, int end)
        {
            int panelsB = Panels(Columns, KernelColumns);
            for (int item = FirstPanel + start; item < FirstPanel + end; item++)
            {
                if (item < panelsB)
                {
                    int first = item * KernelColumns;
                    B.Pack(first, Math.Min(KernelColumns, Columns - first), K, KernelColumns, PanelsB + (long)first * K);
                }
                else
                {
                    int first = (item - panelsB) * KernelRows;
                    A.Pack(first, Math.Min(KernelRows, Rows - first), K, KernelRows, PanelsA + (long)first * K);
                }
            }
        }
    }

    private struct TileWork<TKernel> : IParallelWork where TKernel : IGemmKernel
    {
        public float* PanelsA, PanelsB, C;
        public long Ldc;
        public int Rows, Columns, K, StepK, Diagonal;
        public float Alpha, Beta;

        public readonly void Execute(int start, int end)
        {
            int tilesOfRow = Panels(Columns, TileColumns);
            for (int item = start; item < end; item++)
            {
                int firstRow = item / tilesOfRow * TileRows, firstColumn = item % tilesOfRow * TileColumns;
                int lastRow = Math.Min(Rows, firstRow + TileRows), lastColumn = Math.Min(Columns, firstColumn + TileColumns);
                for (int p = 0; p < K; p += StepK)
                {
                    for (int j = firstColumn; j < lastColumn; j += TKernel.Columns)
                    {
                        for (int i = firstRow; i < lastRow; i += TKernel.Rows)
                        {
                            if (j + TKernel.Columns <= i + Diagonal) continue;
                            KernelTile(i, j, p);
                        }
                    }
                }
            }
        }

        private readonly void KernelTile(int i, int j, int p)
        {
            float* a = PanelsA + (long)i * K + p * TKernel.Rows, b = PanelsB + (long)j * K + p * TKernel.Columns, c = C + i * Ldc + j;
            int rows = Math.Min(TKernel.Rows, Rows - i), columns = Math.Min(TKernel.Columns, Columns - j), k = Math.Min(StepK, K - p);
            float beta = p == 0 ? Beta : 1;
            if (rows == TKernel.Rows && columns == TKernel.Columns)
            {
                TKernel.Run(k, a, b, c, Ldc, Alpha, beta);
                return;
            }
            float* tile = stackalloc float[8 * 32];
            TKernel.Run(k, a, b, tile, TKernel.Columns, Alpha, 0);
            for (int r = 0; r < rows; r++)
                for (int q = 0; q < columns; q++)
                {
                    float sum = tile[r * TKernel.Columns + q];
                    float* target = c + r * Ldc + q;
                    *target = beta == 0 ? sum : sum + beta * *target;
                }
        }
    }

    private struct MirrorWork : IParallelWork
    {
        public const int Block = 32; // a block read along columns and one written along rows fit the first-level cache

        public float* Matrix;
        public int Size;

        public readonly void Execute(int start, int end)
        {
            for (int first = start * Block; first < Math.Min(Size, end * Block); first += Block)
                for (int other = 0; other <= first; other += Block) MirrorBlock(first, other);
        }

        private readonly void MirrorBlock(int first, int other)
        {
            for (int i = first; i < Math.Min(Size, first + Block); i++)
            {
                int end = Math.Min(i, other + Block);
                for (int j = other; j < end; j++) Matrix[(long)i * Size + j] = Matrix[(long)j * Size + i];
            }
        }
    }
}
