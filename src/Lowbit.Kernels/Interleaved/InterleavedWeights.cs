using System;
using System.Collections.Generic;
using System.Numerics;
using System.Runtime.Intrinsics;
using Lowbit.Core;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// A matrix of one of ggml's block formats or on uniform grids, rearranged in memory so that the codes of sixteen rows lie side by side and
/// every load serves all of them. It takes the bytes of the file and up to 8 % more, 12 % where rows of one bit have one scale; ternary codebooks take
/// two bits without AVX-512.
/// </summary>
internal abstract unsafe class InterleavedWeights
{
    private const int FewTokens = 3; // up to here each token goes through the interleaved bytes by itself

    /// <summary>The widths in bits of its kernels.</summary>
    public static IReadOnlyList<int> Widths => VectorLimit.Widths(Lanes512.IsSupported, Lanes256.IsSupported, Lanes128.IsSupported);

    /// <summary>Whether the format has such a form.</summary>
    public static bool Supports(ElementFormat format) => format.IsReal() && format.BlockLength() > 1;

    /// <summary>Rearranges a matrix of a supported format.</summary>
    /// <param name="pool">Threads that share the rows.</param>
    /// <param name="tensor">[rows, columns], checked to be a matrix.</param>
    /// <exception cref="LowbitException">A scale is not finite.</exception>
    public static InterleavedWeights Create(WorkerPool pool, Tensor tensor)
    {
        TensorRows rows = new(tensor);
        return tensor.Format switch
        {
            ElementFormat.Q4_0 => new InterleavedWeights<FormatQ4_0>(pool, rows),
            ElementFormat.Q4_1 => new InterleavedWeights<FormatQ4_1>(pool, rows),
            ElementFormat.Q5_0 => new InterleavedWeights<FormatQ5_0>(pool, rows),
            ElementFormat.Q5_1 => new InterleavedWeights<FormatQ5_1>(pool, rows),
            ElementFormat.Q8_0 => new InterleavedWeights<FormatQ8_0>(pool, rows),
            ElementFormat.Q2_K => new InterleavedWeights<FormatQ2_K>(pool, rows),
            ElementFormat.Q3_K => new InterleavedWeights<FormatQ3_K>(pool, rows),
            ElementFormat.Q4_K => new InterleavedWeights<FormatQ4_K>(pool, rows),
            ElementFormat.Q5_K => new InterleavedWeights<FormatQ5_K>(pool, rows),
            ElementFormat.Q6_K => new InterleavedWeights<FormatQ6_K>(pool, rows),
            ElementFormat.IQ4_NL => new InterleavedWeights<FormatIQ4_NL>(pool, rows),
            ElementFormat.MXFP4 => new InterleavedWeights<FormatMXFP4>(pool, rows),
            ElementFormat.TQ1_0 => new InterleavedWeights<FormatTQ1_0>(pool, rows),
            ElementFormat.TQ2_0 => new InterleavedWeights<FormatTQ2_0>(pool, rows),
            _ => throw new ArgumentOutOfRangeException(nameof(tensor), tensor.Format, "the format has no interleaved form"),
        };
    }

    /// <summary>output[t, r] = Σ_c x[t, c] · W[r, c] with the rounded activations, as <see cref="ScalarProduct"/> defines it.</summary>
    public void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        bool tiles = activations.Tokens > FewTokens;
        if (Lanes512.IsSupported && !(tiles && HasNarrowTiles)) Multiply<Lanes512, Vector512<byte>>(pool, activations, output, tiles);
        else if (Lanes256.IsSupported) Multiply<Lanes256, Vector256<byte>>(pool, activations, output, tiles);
        else if (Lanes128.IsSupported) Multiply<Lanes128, Vector128<byte>>(pool, activations, output, tiles);
        else MultiplyScalar(pool, activations, output);
    }

    /// <summary>Tiles of rows, if a product of so many tokens goes through them one by one, else 0.</summary>
    public int TilesFor(int tokens) => tokens <= FewTokens && Lanes128.IsSupported && !IsScalar ? Tiles : 0;

    /// <summary>The rows of some tiles of the product, by the calling thread.</summary>
    public void MultiplyTiles(Activations activations, float* output, int start, int end)
    {
        if (Lanes512.IsSupported) MultiplyTiles<Lanes512, Vector512<byte>>(activations, output, start, end);
        else if (Lanes256.IsSupported) MultiplyTiles<Lanes256, Vector256<byte>>(activations, output, start, end);
        else MultiplyTiles<Lanes128, Vector128<byte>>(activations, output, start, end);
    }

    /// <summary>Number of tiles.</summary>
    protected abstract int Tiles { get; }

    /// <summary>Where a tile begins.</summary>
    public abstract byte* TileStart(int tile);

    /// <summary>Whether products of many tokens are faster with vectors of 256 bits than with those of 512.</summary>
    internal abstract bool HasNarrowTiles { get; }

    /// <summary>Whether only the oracle can compute with these weights.</summary>
    protected abstract bool IsScalar { get; }

    /// <summary>The rows of some tiles with vectors of a given width.</summary>
    protected abstract void MultiplyTiles<TLanes, TVector>(Activations activations, float* output, int start, int end)
        where TLanes : struct, ILanes<TVector> where TVector : struct;

    /// <summary>The product with vectors of a given width, some tiles with all tokens at once or one tile with one token after the other.</summary>
    internal abstract void Multiply<TLanes, TVector>(WorkerPool pool, Activations activations, float* output, bool tiles)
        where TLanes : struct, ILanes<TVector> where TVector : struct;

    /// <summary>The oracle, from the bytes of the file.</summary>
    internal abstract void MultiplyScalar(WorkerPool pool, Activations activations, float* output);
}

/// <inheritdoc/>
internal sealed unsafe class InterleavedWeights<TFormat> : InterleavedWeights where TFormat : struct, IBlockFormat
{
    private const long PieceBytes = 1 << 19;

    [ThreadStatic]
    private static NativeBuffer? t_panel;

    [ThreadStatic]
    private static NativeBuffer? t_results;

    private readonly BlockRows _source;
    private readonly object _owner; // of the memory of the tiles
    private readonly byte* _tiles;
    private readonly int _rows, _columns;
    private readonly TileShape<TFormat> _shape;
    private readonly long _tileBytes;
    private volatile bool _isScalar; // a factor is too large to be enlarged: no real model has one above 64

    public InterleavedWeights(WorkerPool pool, BlockRows source)
    {
        _source = source;
        _rows = source.Rows;
        _columns = source.Columns;
        _shape = new((_columns + IBlockFormat.ChunkColumns - 1) / IBlockFormat.ChunkColumns, Math.Max(source.ChunksOfFactors, TFormat.BlockLength / IBlockFormat.ChunkColumns));
        _tileBytes = _shape.TileBytes;
        _tiles = LargePages.Take(Tiles * _tileBytes, out _owner);
        // In pieces, so that never both forms of a large matrix are there.
        int piece = (int)Math.Max(4, PieceBytes / ((long)IBlockFormat.Rows * Blocks * TFormat.BlockBytes));
        for (int first = 0; first < Tiles; first += piece)
        {
            Interleaving work = new() { Weights = this, FirstTile = first };
            pool.Run(ref work, Math.Min(piece, Tiles - first), 4);
            source.Release((int)Math.Min(_rows, (first + (long)piece) * IBlockFormat.Rows));
        }
    }

    private int Blocks => (_columns + TFormat.BlockLength - 1) / TFormat.BlockLength;

    internal override bool HasNarrowTiles => TileChoice<TFormat>.IsNarrow;

    protected override bool IsScalar => _isScalar;

    protected override int Tiles => (_rows + IBlockFormat.Rows - 1) / IBlockFormat.Rows;

    public override byte* TileStart(int tile) => _tiles + tile * _tileBytes;

    internal override void Multiply<TLanes, TVector>(WorkerPool pool, Activations activations, float* output, bool tiles)
    {
        if (_isScalar)
        {
            MultiplyScalar(pool, activations, output);
        }
        else if (tiles)
        {
            TileWork<TileKernel<TFormat, TLanes, TVector>> work = new() { Weights = this, Activations = activations, Output = output };
            pool.Run(ref work, (Tiles + TileKernel<TFormat, TLanes, TVector>.Tiles - 1) / TileKernel<TFormat, TLanes, TVector>.Tiles, 1);
        }
        else
        {
            RowWork<RowKernel<TFormat, TLanes, TVector>> work = new() { Weights = this, Activations = activations, Output = output };
            pool.Run(ref work, Tiles, Products.TilesOfChunk(_columns));
        }
    }

    protected override void MultiplyTiles<TLanes, TVector>(Activations activations, float* output, int start, int end) =>
        new RowWork<RowKernel<TFormat, TLanes, TVector>> { Weights = this, Activations = activations, Output = output }.Execute(start, end);

    internal override void MultiplyScalar(WorkerPool pool, Activations activations, float* output)
    {
        ScalarWork work = new() { Weights = this, Activations = activations, Output = output };
        pool.Run(ref work, _rows, 16);
    }

    private void Finish(float* results, int count, float* output)
    {
        float factor = _source.Factor;
        for (int i = 0; i < count; i++) output[i] = factor * results[i];
    }

    private struct Interleaving : IParallelWork
    {
        public InterleavedWeights<TFormat> Weights;
        public int FirstTile;

        public readonly void Execute(int start, int end)
        {
            TileShape<TFormat> shape = Weights._shape;
            int blocksOfGroup = TFormat.GroupChunks * IBlockFormat.ChunkColumns / TFormat.BlockLength, blocks = Weights.Blocks;
            byte* scratch = Scratch.Ensure(ref t_panel, (long)blocks * TFormat.BlockBytes);
            for (int tile = FirstTile + start; tile < FirstTile + end; tile++)
            {
                int firstRow = tile * IBlockFormat.Rows, rows = Math.Min(IBlockFormat.Rows, Weights._rows - firstRow);
                for (int lane = 0; lane < rows; lane++)
                {
                    byte* row = Weights._source.Row(firstRow + lane, scratch), group = Weights.TileStart(tile);
                    for (int first = 0; first < blocks; first += blocksOfGroup, group += shape.GroupBytes)
                        TFormat.Interleave(row + (long)first * TFormat.BlockBytes, Math.Min(blocksOfGroup, blocks - first), (ushort*)group + lane, (uint*)(group + shape.HeaderBytes) + lane);
                }
                Weights.EnlargeFactors(tile);
            }
        }
    }

    // Checks the factors of a tile, and makes those 2^10 times as large that kernels expect so.
    private void EnlargeFactors(int tile)
    {
        int factorsOfSet = TFormat.FactorBytes / IBlockFormat.Factors;
        Vector256<ushort> mask = Vector256.Create((ushort)TFormat.ExponentMask);
        byte* group = TileStart(tile);
        for (int chunk = 0; chunk < _shape.Chunks; chunk += TFormat.GroupChunks, group += _shape.GroupBytes)
        {
            ushort* factors = (ushort*)group;
            for (int i = 0; i < _shape.Sets * factorsOfSet; i++, factors += IBlockFormat.Rows)
            {
                uint infinite = Vector256.Equals(Vector256.Load(factors) & mask, mask).ExtractMostSignificantBits();
                if (infinite != 0)
                {
                    int row = tile * IBlockFormat.Rows + BitOperations.TrailingZeroCount(infinite);
                    throw new LowbitException($"tensor {_source.Name}: row {row} has a scale that is no finite number near column {chunk * IBlockFormat.ChunkColumns}; the file is damaged.");
                }
                if (i % factorsOfSet < TFormat.ScaledFactors && !FiniteHalf.Enlarge(factors, -IBlockFormat.FactorExponent)) _isScalar = true;
            }
        }
    }

    private struct RowWork<TKernel> : IParallelWork where TKernel : struct, IRowKernel<TFormat>
    {
        public InterleavedWeights<TFormat> Weights;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            float* results = stackalloc float[IBlockFormat.Rows];
            for (int tile = start; tile < end; tile++)
            {
                int first = tile * IBlockFormat.Rows, count = Math.Min(IBlockFormat.Rows, Weights._rows - first);
                for (int t = 0; t < Activations.Tokens; t++)
                {
                    TKernel.Run(Weights.TileStart(tile), Weights._shape, new Token(Activations, t), results);
                    Weights.Finish(results, count, Output + (long)t * Weights._rows + first);
                }
            }
        }
    }

    private struct TileWork<TKernel> : IParallelWork where TKernel : struct, ITileKernel<TFormat>
    {
        public InterleavedWeights<TFormat> Weights;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            int rows = TKernel.Tiles * IBlockFormat.Rows;
            byte* panel = Scratch.Ensure(ref t_panel, TKernel.PanelBytes);
            float* results = (float*)Scratch.Ensure(ref t_results, (Activations.Tokens + 3L) / 4 * 4 * rows * sizeof(float));
            for (int index = start; index < end; index++)
            {
                int tile = index * TKernel.Tiles, second = Math.Min(tile + 1, Weights.Tiles - 1);
                TKernel.Run(Weights.TileStart(tile), Weights.TileStart(second), Weights._shape, Activations, panel, results);
                int first = index * rows, count = Math.Min(rows, Weights._rows - first);
                for (int t = 0; t < Activations.Tokens; t++)
                    Weights.Finish(results + (long)t * rows, count, Output + (long)t * Weights._rows + first);
            }
        }
    }

    private struct ScalarWork : IParallelWork
    {
        public InterleavedWeights<TFormat> Weights;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            byte* scratch = Scratch.Ensure(ref t_panel, (long)Weights.Blocks * TFormat.BlockBytes);
            for (int row = start; row < end; row++)
            {
                byte* blocks = Weights._source.Row(row, scratch);
                for (int t = 0; t < Activations.Tokens; t++)
                    Output[(long)t * Weights._rows + row] = Weights._source.Factor * ScalarProduct.Row<TFormat>(blocks, Weights.Blocks, Weights._shape.Chunks, new Token(Activations, t));
            }
        }
    }
}
