using System;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The refinement of ARB-RC (ArbLlm.cs) in one block of columns: w_ij ≈ r_i c_j b_ij, where r_i is one of two, by the part
/// of the weight, and with two signs a sum of two such products. All rows take part, since c belongs to a column.
/// </summary>
/// <param name="scores">[width, stride], what parts sparse weights from concentrated ones.</param>
/// <param name="weights">[width, stride].</param>
/// <param name="stride">Elements from one column to the next.</param>
/// <param name="rows">Rows of the matrix.</param>
/// <param name="iterations">Rounds of refinement.</param>
/// <param name="rounding">Precision of the row scales; column scales are half precision.</param>
/// <param name="pool">Threads.</param>
internal sealed unsafe class RowColumnScales(float* scores, float* weights, int stride, int rows, int iterations, ScaleRounding rounding, WorkerPool pool)
{
    /// <summary>Binarizes columns with one sign.</summary>
    /// <param name="columns">Which, within the block.</param>
    /// <param name="breakPoint">What parts sparse from concentrated scores.</param>
    /// <param name="codes">Where codes and levels go.</param>
    /// <param name="start">First column of the block.</param>
    /// <param name="factors">[columns of the matrix], where c goes.</param>
    public void Binarize(int[] columns, float breakPoint, CodebookCodes codes, int start, float[] factors)
    {
        Product product = Begin(columns, breakPoint, (r, i) => weights[(long)columns[i] * stride + r]);
        for (int n = 0; n < iterations; n++)
        {
            product.ImproveRows(pool);
            product.ImproveColumns(pool);
        }
        product.RoundColumns();
        product.ImproveRows(pool);
        Write(product, others: null, columns, codes, start, factors);
    }

    /// <summary>Binarizes columns with two signs.</summary>
    /// <param name="columns">Which, within the block.</param>
    /// <param name="breakPoint">What parts sparse from concentrated scores.</param>
    /// <param name="codes">Where codes and levels of the first signs go.</param>
    /// <param name="start">First column of the block.</param>
    /// <param name="factors">[columns of the matrix], where c of the first signs goes.</param>
    /// <param name="secondCodes">Those of the second signs, of these columns only.</param>
    /// <param name="secondFactors">[columns], c of the second signs.</param>
    public void BinarizeTwice(int[] columns, float breakPoint, CodebookCodes codes, int start, float[] factors, CodebookCodes secondCodes, float[] secondFactors)
    {
        Product first = Begin(columns, breakPoint, (r, i) => weights[(long)columns[i] * stride + r]);
        Product second = Begin(columns, breakPoint, (r, i) => weights[(long)columns[i] * stride + r] - first.Value(r, i));
        for (int n = 0; n < iterations; n++)
        {
            Improve(first, second);
            Improve(second, first);
            ChooseSigns(columns, first, second);
        }
        first.RoundColumns();
        second.RoundColumns();
        SetTargets(first, columns, second);
        first.ImproveRows(pool);
        SetTargets(second, columns, first);
        second.ImproveRows(pool);
        Write(first, others: null, columns, codes, start, factors);
        int[] own = new int[columns.Length];
        for (int i = 0; i < own.Length; i++) own[i] = i;
        Write(second, first, own, secondCodes, 0, secondFactors);

        void Improve(Product one, Product other)
        {
            SetTargets(one, columns, other);
            one.ImproveRows(pool);
            one.ImproveColumns(pool);
        }
    }

    private Product Begin(int[] columns, float breakPoint, Func<int, int, float> target)
    {
        var product = new Product(rows, columns.Length);
        for (int i = 0; i < columns.Length; i++)
            for (int r = 0; r < rows; r++)
            {
                float w = target(r, i);
                product.Targets[i * rows + r] = w;
                product.Positive[i * rows + r] = w >= 0;
                product.Sparse[i * rows + r] = MathF.Abs(scores[(long)columns[i] * stride + r]) >= breakPoint;
            }
        product.Begin();
        return product;
    }

    // What is left for one of two products.
    private void SetTargets(Product product, int[] columns, Product other)
    {
        for (int i = 0; i < columns.Length; i++)
            for (int r = 0; r < rows; r++) product.Targets[i * rows + r] = weights[(long)columns[i] * stride + r] - other.Value(r, i);
    }

    private void ChooseSigns(int[] columns, Product first, Product second)
    {
        for (int i = 0; i < columns.Length; i++)
            for (int r = 0; r < rows; r++)
            {
                float w = weights[(long)columns[i] * stride + r];
                double a = first.Size(r, i), b = second.Size(r, i), least = double.PositiveInfinity;
                for (int signs = 0; signs < 4; signs++)
                {
                    double error = Math.Abs(((signs & 1) == 0 ? a : -a) + ((signs & 2) == 0 ? b : -b) - w);
                    if (error >= least) continue;
                    least = error;
                    first.Positive[i * rows + r] = (signs & 1) == 0;
                    second.Positive[i * rows + r] = (signs & 2) == 0;
                }
            }
    }

    // Codes: sparse −, concentrated −, concentrated +, sparse +.
    private void Write(Product product, Product? others, int[] columns, CodebookCodes codes, int start, float[] factors)
    {
        for (int i = 0; i < columns.Length; i++) factors[start + columns[i]] = (float)product.Columns[i];
        for (int r = 0; r < rows; r++)
        {
            double size = others is null ? 0 : Math.Abs(others.Rows[2 * r]) + Math.Abs(others.Rows[2 * r + 1]);
            Codebook.TwoScales(product.Rows[2 * r], product.Rows[2 * r + 1], size, codes.Levels.AsSpan((int)codes.Codebook(r, start + columns[0]), 4), rounding);
            for (int i = 0; i < columns.Length; i++) codes.Codes[r * codes.Columns + start + columns[i]] = Code(product, r, i);
        }
    }

    private byte Code(Product product, int row, int i)
    {
        int low = product.Sparse[i * rows + row] ? 0 : 1;
        return (byte)(product.Positive[i * rows + row] ? 3 - low : low);
    }

    /// <summary>r_i c_j b_ij.</summary>
    private sealed class Product(int rows, int columns)
    {
        /// <summary>[columns, rows], what it shall come near.</summary>
        public float[] Targets { get; } = new float[rows * columns];

        /// <summary>[columns, rows], whether b is +1.</summary>
        public bool[] Positive { get; } = new bool[rows * columns];

        /// <summary>[columns, rows], which r a weight takes.</summary>
        public bool[] Sparse { get; } = new bool[rows * columns];

        /// <summary>[rows, 2], r of concentrated and of sparse weights.</summary>
        public double[] Rows { get; } = new double[2 * rows];

        /// <summary>[columns], c.</summary>
        public double[] Columns { get; } = new double[columns];

        public double Size(int row, int i) => Rows[2 * row + (Sparse[i * rows + row] ? 1 : 0)] * Columns[i];

        public float Value(int row, int i) => (float)(Positive[i * rows + row] ? Size(row, i) : -Size(row, i));

        // r the mean of |w| of a row and part, c that of |w| / r of a column.
        public void Begin()
        {
            var counts = new int[2 * rows];
            for (int i = 0; i < columns; i++)
                for (int r = 0; r < rows; r++)
                {
                    int part = 2 * r + (Sparse[i * rows + r] ? 1 : 0);
                    Rows[part] += MathF.Abs(Targets[i * rows + r]);
                    counts[part]++;
                }
            for (int part = 0; part < counts.Length; part++) Rows[part] /= Math.Max(1, counts[part]);
            for (int i = 0; i < columns; i++)
            {
                double sum = 0;
                int count = 0;
                for (int r = 0; r < rows; r++)
                {
                    double scale = Rows[2 * r + (Sparse[i * rows + r] ? 1 : 0)];
                    if (scale == 0) continue;
                    sum += MathF.Abs(Targets[i * rows + r]) / scale;
                    count++;
                }
                Columns[i] = sum / Math.Max(1, count);
            }
        }

        public void ImproveRows(WorkerPool pool)
        {
            var work = new RowsWork { Product = this, RowCount = rows, ColumnCount = columns };
            pool.Run(ref work, rows, 64);
        }

        public void ImproveColumns(WorkerPool pool)
        {
            var work = new ColumnsWork { Product = this, RowCount = rows };
            pool.Run(ref work, columns, 8);
        }

        // To half precision, about 1 so that it fits.
        public void RoundColumns()
        {
            double sum = 0;
            foreach (double c in Columns) sum += Math.Abs(c);
            if (sum == 0) return;
            for (int i = 0; i < columns; i++) Columns[i] = (double)(Half)(Columns[i] * columns / sum);
            for (int part = 0; part < Rows.Length; part++) Rows[part] *= sum / columns;
        }
    }

    private struct RowsWork : IParallelWork
    {
        public Product Product;
        public int RowCount, ColumnCount;

        public readonly void Execute(int start, int end)
        {
            int count = end - start;
            var products = new double[2 * count];
            var squares = new double[2 * count];
            for (int i = 0; i < ColumnCount; i++)
            {
                double c = Product.Columns[i];
                for (int r = start; r < end; r++)
                {
                    int at = i * RowCount + r, part = 2 * (r - start) + (Product.Sparse[at] ? 1 : 0);
                    products[part] += Product.Positive[at] ? c * Product.Targets[at] : -c * Product.Targets[at];
                    squares[part] += c * c;
                }
            }
            for (int part = 0; part < squares.Length; part++)
                if (squares[part] > 0) Product.Rows[2 * start + part] = products[part] / squares[part];
        }
    }

    private struct ColumnsWork : IParallelWork
    {
        public Product Product;
        public int RowCount;

        public readonly void Execute(int start, int end)
        {
            for (int i = start; i < end; i++)
            {
                double product = 0, square = 0;
                for (int r = 0; r < RowCount; r++)
                {
                    int at = i * RowCount + r;
                    double scale = Product.Rows[2 * r + (Product.Sparse[at] ? 1 : 0)];
                    product += Product.Positive[at] ? scale * Product.Targets[at] : -scale * Product.Targets[at];
                    square += scale * scale;
                }
                if (square > 0) Product.Columns[i] = product / square;
            }
        }
    }
}
