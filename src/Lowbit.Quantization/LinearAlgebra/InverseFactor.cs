using System;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Quantization.LinearAlgebra;

/// <summary>
/// The factor U of an inverse: H⁻¹ = Uᵀ · U with U upper triangular, which is all that error compensation needs to know
/// about a Hessian H. Row j of U says how the error of column j spreads over the columns after it, and U_jj² is the first
/// entry of the inverse of the trailing part H[j.., j..].
/// </summary>
/// <remarks>
/// <para>The references take three steps (Cholesky of H, inverse, Cholesky of the inverse). Two are enough: with the
/// Cholesky factorization begun at the last column, H = Lᵀ · L with L lower triangular, the inverse is
/// H⁻¹ = L⁻¹ · L⁻ᵀ = Uᵀ · U with U = L⁻ᵀ. So this class factorizes, inverts the triangle and keeps Uᵀ = L⁻¹.</para>
/// <para>Both steps work on blocks of 64 rows in double precision; about 2n³/3 operations. Sums run in an order that
/// does not depend on the number of threads. Memory while it works: 8n² bytes, afterwards 4n².</para>
/// </remarks>
public sealed unsafe class InverseFactor : IDisposable
{
    private const int Block = 64;
    private const int Tile = DoubleTile.Columns;

    private readonly NativeBuffer _transposed;

    private InverseFactor(int size)
    {
        Size = size;
        _transposed = new NativeBuffer((long)size * size * sizeof(float));
    }

    /// <summary>Rows and columns of U.</summary>
    public int Size { get; }

    /// <summary>Uᵀ, [size, size], lower triangular: U[i, j] lies at j · size + i.</summary>
    public float* Transposed => _transposed.Floats;

    /// <summary>U[row, column]; zero below the diagonal.</summary>
    public float this[int row, int column]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Size);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)column, (uint)Size);
            return Transposed[(long)column * Size + row];
        }
    }

    /// <summary>Factorizes the inverse of a matrix.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="h">[size, size], symmetric; its own diagonal is not read.</param>
    /// <param name="diagonal">[size], the diagonal of the matrix: that of h after damping.</param>
    /// <param name="order">Rows and columns of h in the order to take them, or empty for the natural one.</param>
    /// <param name="name">What the error message calls the matrix.</param>
    /// <param name="cancellation">Stops the work between two blocks.</param>
    /// <exception cref="LowbitException">The matrix is not positive definite in double precision.</exception>
    public static InverseFactor Create(
        WorkerPool pool, ReadOnlySpan<float> h, ReadOnlySpan<double> diagonal, ReadOnlySpan<int> order, string name, CancellationToken cancellation)
    {
        int size = diagonal.Length;
        if (h.Length != (long)size * size) throw new ArgumentException($"{h.Length} elements are no {size} x {size} matrix", nameof(h));
        // Rows and columns are padded with those of the unit matrix to whole tiles. The rows lie a little apart from a
        // power of two, or else all rows of a tile would share one set of the cache.
        int padded = (size + Tile - 1) / Tile * Tile;
        long stride = padded + Tile;
        using var work = new NativeBuffer(padded * stride * sizeof(double));
        double* a = (double*)work.Pointer;
        for (int i = 0; i < padded; i++)
        {
            double* row = a + i * stride;
            if (i < size)
            {
                int source = order.IsEmpty ? i : order[i];
                ReadOnlySpan<float> from = h.Slice(source * size, size);
                for (int j = 0; j < i; j++) row[j] = from[order.IsEmpty ? j : order[j]];
                row[i] = diagonal[source];
            }
            else row[i] = 1;
        }
        var original = new double[padded];
        for (int i = 0; i < padded; i++) original[i] = a[i * stride + i];
        Factorize(pool, a, original, padded, stride, name, cancellation);
        Invert(pool, a, padded, stride, cancellation);

        var factor = new InverseFactor(size);
        for (int i = 0; i < size; i++)
            for (int j = 0; j <= i; j++) factor.Transposed[(long)i * size + j] = (float)a[i * stride + j];
        return factor;
    }

    /// <inheritdoc/>
    public void Dispose() => _transposed.Dispose();

    // Replaces the lower triangle of a by L with a = Lᵀ · L. The last block of rows is finished first:
    //   a[B, B] = L[B, B]ᵀ L[B, B],  L[B, <B] = L[B, B]⁻ᵀ a[B, <B],  a[<B, <B] −= L[B, <B]ᵀ L[B, <B].
    private static void Factorize(WorkerPool pool, double* a, double[] original, int n, long stride, string name, CancellationToken cancellation)
    {
        for (int start = (n - 1) / Block * Block; start >= 0; start -= Block)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(n, start + Block);
            FactorizeDiagonalBlock(a, original, start, end, stride, name);
            var panel = new PanelWork { A = a, Stride = stride, Start = start, End = end };
            pool.Run(ref panel, start, Block);
            var update = new UpdateWork { A = a, Stride = stride, Start = start, End = end };
            pool.Run(ref update, start / (Block / 2), 1);
        }
    }

    private static void FactorizeDiagonalBlock(double* a, double[] original, int start, int end, long stride, string name)
    {
        double noise = original.Length * 2.2e-16; // a pivot is what cancellation left of the original diagonal
        for (int p = end - 1; p >= start; p--)
        {
            double* row = a + p * stride;
            double pivot = row[p];
            if (!(pivot > noise * original[p]) || !double.IsFinite(pivot))
            {
                throw new LowbitException(
                    $"{name}: the Hessian is not positive definite (pivot {pivot:g3} at column {p}); raise --damping, or calibrate with more samples.");
            }
            double root = Math.Sqrt(pivot);
            row[p] = root;
            for (int j = start; j < p; j++) row[j] /= root;
            for (int i = start; i < p; i++)
            {
                double factor = row[i];
                double* target = a + i * stride;
                for (int j = start; j <= i; j++) target[j] -= factor * row[j];
            }
        }
    }

    // Columns start to end of the rows [Start, End) left of the diagonal block: back substitution, row by row.
    private struct PanelWork : IParallelWork
    {
        public double* A;
        public long Stride;
        public int Start, End;

        public readonly void Execute(int start, int end)
        {
            for (int p = End - 1; p >= Start; p--)
            {
                double* row = A + p * Stride;
                for (int q = p + 1; q < End; q++)
                {
                    double* known = A + q * Stride;
                    double factor = known[p];
                    for (int j = start; j < end; j++) row[j] -= factor * known[j];
                }
                double pivot = row[p];
                for (int j = start; j < end; j++) row[j] /= pivot;
            }
        }
    }

    // One item is half a block of rows above [Start, End). Tiles that cross the diagonal leave rubbish right of it.
    private struct UpdateWork : IParallelWork
    {
        public double* A;
        public long Stride;
        public int Start, End;

        public readonly void Execute(int start, int end)
        {
            for (int item = start; item < end; item++)
            {
                int first = (Start / (Block / 2) - 1 - item) * (Block / 2), last = first + Block / 2; // the longest rows first
                double* panel = A + Start * Stride;
                for (int j = 0; j < last; j += DoubleTile.Columns)
                    for (int i = first; i < last; i += DoubleTile.Rows)
                    {
                        if (j > i) continue; // right of the diagonal
                        DoubleTile.Multiply(panel + i, 1, Stride, panel + j, Stride, End - Start, A + i * Stride + j, Stride, subtract: true);
                    }
            }
        }
    }

    // Replaces L by X = L⁻¹, block of rows by block of rows from the first:
    //   X[B, B] = L[B, B]⁻¹,  X[B, <B] = −X[B, B] · (L[B, <B] · X[<B, <B]).
    private static void Invert(WorkerPool pool, double* a, int n, long stride, CancellationToken cancellation)
    {
        using var panel = new NativeBuffer(Block * stride * sizeof(double));
        double* left = (double*)panel.Pointer;
        for (int start = 0; start < n; start += Block)
        {
            cancellation.ThrowIfCancellationRequested();
            int end = Math.Min(n, start + Block);
            InvertDiagonalBlock(a, start, end, n, stride);
            for (int i = start; i < end; i++)
                new ReadOnlySpan<double>(a + i * stride, start).CopyTo(new Span<double>(left + (i - start) * stride, start));
            var work = new InvertWork { A = a, Left = left, Stride = stride, Start = start, End = end };
            pool.Run(ref work, start / Block, 1);
        }
    }

    private static void InvertDiagonalBlock(double* a, int start, int end, int n, long stride)
    {
        for (int i = start; i < end; i++)
        {
            double* row = a + i * stride;
            // x[i, j] = −(Σ_{j ≤ k < i} l[i, k] · x[k, j]) / l[i, i]; k rises, so that row i can be overwritten from the left.
            for (int j = start; j < i; j++)
            {
                double sum = 0;
                for (int k = j; k < i; k++) sum += row[k] * a[k * stride + j];
                row[j] = -sum / row[i];
            }
            row[i] = 1 / row[i];
            new Span<double>(row + i + 1, n - i - 1).Clear(); // the rubbish of the tiles
        }
    }

    // One item is a block of columns left of the diagonal block.
    private struct InvertWork : IParallelWork
    {
        public double* A;
        public double* Left; // a copy of L[B, <B], rows Stride apart
        public long Stride;
        public int Start, End;

        public readonly void Execute(int start, int end)
        {
            double* sum = stackalloc double[Block * Block];
            for (int item = start; item < end; item++)
            {
                int first = item * Block, rows = End - Start;
                for (int j = 0; j < Block; j += DoubleTile.Columns)
                    for (int i = 0; i < rows; i += DoubleTile.Rows)
                    {
                        // X[k, first..] is zero for k < first.
                        DoubleTile.Multiply(
                            Left + i * Stride + first, Stride, 1, A + first * Stride + first + j, Stride, Start - first,
                            sum + i * Block + j, Block, subtract: false);
                    }
                double* diagonal = A + Start * Stride + Start;
                double* target = A + Start * Stride + first;
                for (int i = 0; i < rows; i += DoubleTile.Rows)
                    for (int j = 0; j < Block; j += DoubleTile.Columns)
                    {
                        Clear(target + i * Stride + j, Stride);
                        DoubleTile.Multiply(diagonal + i * Stride, Stride, 1, sum + j, Block, i + DoubleTile.Rows, target + i * Stride + j, Stride, subtract: true);
                    }
            }
        }

        private static void Clear(double* tile, long stride)
        {
            for (int i = 0; i < DoubleTile.Rows; i++) new Span<double>(tile + i * stride, DoubleTile.Columns).Clear();
        }
    }
}
