using System;
using System.Runtime.CompilerServices;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>One of several products of the same input.</summary>
/// <param name="weight">[outFeatures, inFeatures].</param>
/// <param name="output">[tokens, outFeatures], overwritten.</param>
public readonly unsafe struct Product(WeightMatrix weight, float* output)
{
    /// <summary>The weight.</summary>
    public WeightMatrix Weight { get; } = weight;

    /// <summary>The result.</summary>
    public float* Output { get; } = output;
}

/// <summary>
/// Products of the same input, such as those of queries, keys and values. In a decode step each is a matter of microseconds, as is
/// calling the threads together; those whose weights lie in tiles of rows are therefore shared out in one go.
/// </summary>
public static unsafe class Products
{
    private const int Most = 3;

    /// <summary>Computes them as <see cref="WeightMatrix.Multiply"/> does, to the last bit.</summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="activations">[tokens, inFeatures]; in 8-bit mode <see cref="Activations.Quantize"/> has been called.</param>
    /// <param name="products">At most three.</param>
    public static void Multiply(WorkerPool pool, Activations activations, params ReadOnlySpan<Product> products)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(products.Length, Most);
        Work work = new() { Activations = activations };
        int tiles = 0;
        foreach (Product product in products)
        {
            int own = product.Weight.PrepareTiles(pool, activations);
            if (own == 0) product.Weight.Multiply(pool, activations, product.Output);
            else work.Add(product, tiles += own);
        }
        pool.Run(ref work, tiles, TilesOfChunk(activations.Features));
    }

    /// <summary>
    /// Tells threads what comes after the next products: while they wait they fetch the weights that they will begin with. The results do not
    /// change.
    /// </summary>
    /// <param name="pool">The threads.</param>
    /// <param name="activations">Of the products to come; their values need not be there yet.</param>
    /// <param name="weights">Of the products to come; none where nothing is known.</param>
    public static void Expect(WorkerPool pool, Activations activations, params ReadOnlySpan<WeightMatrix> weights)
    {
        int tiles = 0;
        foreach (WeightMatrix weight in weights) tiles += weight.PrepareTiles(pool, activations);
        for (int thread = 0; thread < pool.Threads; thread++)
        {
            byte* start = null;
            int tile = pool.FirstItem(thread, tiles, TilesOfChunk(activations.Features));
            foreach (WeightMatrix weight in weights)
            {
                int own = weight.PrepareTiles(pool, activations);
                if (tile >= 0 && tile < own) start = weight.TileStart(tile);
                tile -= own;
            }
            pool.Expect(thread, start);
        }
    }

    /// <summary>Tiles that a thread takes at a time: long enough to read on without a break, short enough that nobody waits long for the last.</summary>
    internal static int TilesOfChunk(int columns) => Math.Clamp(131072 / columns / WeightMatrix.RowsOfTile, 1, 16);

    private struct Work : IParallelWork
    {
        public Activations Activations;
        private Parts _parts;
        private int _count;

        public void Add(Product product, int end) => _parts[_count++] = (product, end);

        public readonly void Execute(int start, int end)
        {
            int first = 0;
            for (int i = 0; i < _count; i++)
            {
                (Product product, int last) = _parts[i];
                if (start < last && end > first) product.Weight.MultiplyTiles(Activations, product.Output, Math.Max(start, first) - first, Math.Min(end, last) - first);
                first = last;
            }
        }
    }

    [InlineArray(Most)]
    private struct Parts
    {
        private (Product Product, int End) _first;
    }
}
