using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// A matrix of small integers, alone or behind a step for each column. The coded integers of the file are unpacked once into tiles of rows
/// (<see cref="IntegerTiles"/>), from which products are computed.
/// </summary>
/// <remarks>
/// In 8-bit mode tokens are multiplied by the steps and rounded, and sums are integers, the same with any kernel to the last bit
/// (<see cref="IntegerProduct"/>). In float mode, and where 32 bits may not hold a sum, activations stay floats and
/// rows are rebuilt.
/// </remarks>
public sealed unsafe class IntegerMatrix : WeightMatrix
{
    private const int FewTokens = 3; // which each thread rounds for itself, and which go through the tiles one by one
    private const int TokensAtOnce = 128;
    private const int RowsOfChunk = 32;

    [ThreadStatic]
    private static NativeBuffer? t_integers;

    [ThreadStatic]
    private static NativeBuffer? t_tile;

    [ThreadStatic]
    private static NativeBuffer? t_sums;

    private readonly IntegerTiles _tiles;

    /// <summary>Takes the integers, which the first product unpacks.</summary>
    /// <param name="coded">The integers.</param>
    internal IntegerMatrix(CodedIntegers coded) : this(new IntegerTiles(coded), coded.Rows, coded.Columns, null)
    {
    }

    private IntegerMatrix(IntegerTiles tiles, int rows, int columns, float[]? steps) : base(rows, columns)
    {
        _tiles = tiles;
        Steps = steps;
    }

    /// <inheritdoc/>
    public override string Format => "integers";

    /// <inheritdoc/>
    public override long Bytes => Tiles.Bytes + (long)Tiles.Columns.Padded * sizeof(int);

    /// <summary>The integers, unpacked.</summary>
    internal IntegerTiles Tiles
    {
        get
        {
            if (!_tiles.AreMade)
            {
                using WorkerPool pool = new();
                _tiles.Make(pool);
            }
            return _tiles;
        }
    }

    /// <summary>[columns] what an input is multiplied by; null stands for ones.</summary>
    internal float[]? Steps { get; }

    /// <summary>The same integers behind a step for each column.</summary>
    /// <param name="steps">[columns].</param>
    internal IntegerMatrix Scaled(float[] steps) => new(_tiles, Rows, Columns, steps);

    /// <summary>The integers as a plain array.</summary>
    public IntegerCodes Unpack()
    {
        IntegerCodes codes = new(Rows, Columns);
        sbyte* integers = (sbyte*)Scratch.Ensure(ref t_integers, Tiles.Columns.Padded);
        for (int r = 0; r < Rows; r++)
        {
            Tiles.Unpack(r, integers);
            for (int i = 0; i < Tiles.Columns.Padded; i++)
            {
                int column = Tiles.Columns.Columns[i];
                if (column < Columns) codes.Values[(long)r * Columns + column] = integers[i];
            }
        }
        return codes;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => InterleavedWeights.Widths;

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        sbyte* integers = (sbyte*)Scratch.Ensure(ref t_integers, Tiles.Columns.Padded);
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            Tiles.Unpack(r, integers);
            for (int i = 0; i < Tiles.Columns.Padded; i++)
            {
                int column = Tiles.Columns.Columns[i];
                if (column < Columns) destination[column] = Steps is null ? integers[i] : integers[i] * Steps[column];
            }
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        _tiles.Make(pool);
        if (PrepareTiles(pool, activations) > 0) Products.Multiply(pool, activations, new Product(this, output));
        else if (UsesIntegers(activations))
        {
            if (Lanes512.IsSupported) MultiplyPanels<Lanes512, Vector512<byte>>(pool, activations, output);
            else if (Lanes256.IsSupported) MultiplyPanels<Lanes256, Vector256<byte>>(pool, activations, output);
            else if (Lanes128.IsSupported) MultiplyPanels<Lanes128, Vector128<byte>>(pool, activations, output);
            else MultiplyScalar(pool, activations, output);
        }
        else if (activations.Tokens >= Activations.ManyTokens) DequantizedProduct.Multiply(pool, this, activations.Values, activations.Tokens, output);
        else RowProduct.Multiply(pool, this, activations.Values, activations.Tokens, output);
    }

    /// <summary>Whether a product keeps integers; otherwise it takes the activations as floats.</summary>
    internal bool UsesIntegers(Activations activations) => activations.Mode == ActivationMode.EightBit && Tiles.FitIntegers;

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations)
    {
        _tiles.Make(pool);
        return activations.Tokens <= FewTokens && Lanes128.IsSupported && UsesIntegers(activations) ? Tiles.Count : 0;
    }

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => Tiles[tile];

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end)
    {
        if (Lanes512.IsSupported) MultiplyTiles<Lanes512, Vector512<byte>>(activations, output, start, end);
        else if (Lanes256.IsSupported) MultiplyTiles<Lanes256, Vector256<byte>>(activations, output, start, end);
        else MultiplyTiles<Lanes128, Vector128<byte>>(activations, output, start, end);
    }

    /// <summary>The rows of some tiles with vectors of a given width.</summary>
    internal void MultiplyTiles<TLanes, TVector>(Activations activations, float* output, int start, int end) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        ScaledTokens input = ScaledTokens.OfThread(this, activations);
        float* results = stackalloc float[IntegerTiles.Rows];
        for (int tile = start; tile < end; tile++)
        {
            for (int t = 0; t < activations.Tokens; t++)
            {
                IntegerTileProduct<TLanes, TVector>.Run(Tiles, tile, input.Token(t), results);
                Scatter(tile, results, output + (long)t * Rows);
            }
        }
    }

    /// <summary>The product of many tokens with vectors of a given width.</summary>
    internal void MultiplyPanels<TLanes, TVector>(WorkerPool pool, Activations activations, float* output) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        for (int first = 0; first < activations.Tokens; first += TokensAtOnce)
        {
            int tokens = Math.Min(TokensAtOnce, activations.Tokens - first);
            PanelWork<TLanes, TVector> work = new() { Matrix = this, Input = ScaledTokens.Make(pool, this, activations, first, tokens), Tokens = tokens, Output = output + (long)first * Rows };
            pool.Run(ref work, Tiles.Count, 1);
        }
    }

    /// <summary>The product with integer sums, row by row: the oracle.</summary>
    internal void MultiplyScalar(WorkerPool pool, Activations activations, float* output)
    {
        for (int first = 0; first < activations.Tokens; first += TokensAtOnce)
        {
            int tokens = Math.Min(TokensAtOnce, activations.Tokens - first);
            ScalarWork work = new() { Matrix = this, Input = ScaledTokens.Make(pool, this, activations, first, tokens), Tokens = tokens, Output = output + (long)first * Rows };
            pool.Run(ref work, Rows, RowsOfChunk);
        }
    }

    private void Scatter(int tile, float* results, float* output)
    {
        int* rows = Tiles.RowsOf(tile);
        for (int i = 0; i < IntegerTiles.Rows && rows[i] >= 0; i++) output[rows[i]] = results[i];
    }

    private struct PanelWork<TLanes, TVector> : IParallelWork where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        public IntegerMatrix Matrix;
        public ScaledTokens Input;
        public int Tokens;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            byte* integers = Scratch.Ensure(ref t_tile, PanelProduct<TLanes, TVector>.TileBytes(Matrix.Tiles));
            int* sums = (int*)Scratch.Ensure(ref t_sums, (Tokens + PanelProduct<TLanes, TVector>.TokensAtOnce) * IntegerTiles.Rows * sizeof(int));
            for (int tile = start; tile < end; tile++)
            {
                PanelProduct<TLanes, TVector>.Run(Matrix.Tiles, tile, Input, Tokens, integers, sums);
                for (int t = 0; t < Tokens; t++) Matrix.Scatter(tile, (float*)sums + IntegerTiles.Rows * t, Output + (long)t * Matrix.Rows);
            }
        }
    }

    private struct ScalarWork : IParallelWork
    {
        public IntegerMatrix Matrix;
        public ScaledTokens Input;
        public int Tokens;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            int padded = Matrix.Tiles.Columns.Padded;
            sbyte* integers = (sbyte*)Scratch.Ensure(ref t_integers, padded);
            for (int r = start; r < end; r++)
            {
                Matrix.Tiles.Unpack(r, integers);
                for (int t = 0; t < Tokens; t++) Output[(long)t * Matrix.Rows + r] = IntegerProduct.Row(integers, padded, Input.Token(t));
            }
        }
    }
}
