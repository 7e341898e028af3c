using System;
using System.Collections.Generic;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// A packed partially binarized weight. Its parts are read as they lie in the file; only coded positions are expanded to a bitmap, where
/// every eighth row's codes begin is counted once, and products of few tokens put the weights once more in the order that they like.
/// </summary>
/// <remarks>
/// In 8-bit mode activations are rounded to 12 bits a token and sums are integers, the same with any kernel to the last bit
/// (<see cref="SegmentProduct"/>). In float mode, with groups that end inside of 64 columns, and for many tokens without AVX2, activations
/// stay floats and rows are rebuilt, which equals the definition up to rounding of sums.
/// </remarks>
public sealed unsafe class PartiallyBinarizedMatrix : WeightMatrix
{
    private const int RowsOfChunk = 32;  // what a thread takes at a time
    private const int TilesOfChunk = 4;
    private const int TokensAtOnce = 16; // whose tables stay in the second cache
    private const int FewTokens = 3;     // which each thread rounds for itself

    [ThreadStatic]
    private static NativeBuffer? t_codes;

    private readonly List<object> _owners = [];
    private readonly PackedRows _rows;
    private readonly Lock _tilesLock = new();
    private RowTiles? _tiles; // made by the first product that wants them

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="PartiallyBinarizedPacking"/>; empty parts may be missing.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or contradicts the others.</exception>
    public PartiallyBinarizedMatrix(string name, PartiallyBinarizedLayout layout, IReadOnlyDictionary<string, Tensor> parts)
        : base(layout.Check(name).Rows, layout.Columns)
    {
        Layout = layout;
        PackedRows rows = new()
        {
            Rows = layout.Rows,
            Columns = layout.Columns,
            Words = layout.Words,
            LowBits = layout.LowBits,
            HighBits = layout.HighBits,
            RestBits = layout.RestBits,
            LowGroupSize = layout.LowGroupSize,
            HighGroupSize = layout.HighGroupSize,
            LowGroups = layout.LowGroups,
            HighGroups = layout.HighGroups,
            HalfScales = layout.ScaleFormat == ElementFormat.F16,
        };
        PartReader reader = new(name, parts, _owners);
        long storedPositions;
        if (layout.Positions == PositionsForm.Bitmap)
        {
            storedPositions = layout.BitmapBytes;
            rows.Positions = (ulong*)reader.Bytes(PartiallyBinarizedPacking.Positions, ElementFormat.U8, storedPositions);
        }
        else
        {
            ReadOnlySpan<byte> code = reader.AllBytes(PartiallyBinarizedPacking.Positions);
            storedPositions = code.Length;
            NativeBuffer bitmap = new(layout.BitmapBytes);
            _owners.Add(bitmap);
            rows.Positions = (ulong*)bitmap.Pointer;
            RicePositions.Decode(reader.NameOf(PartiallyBinarizedPacking.Positions), code, layout.Rows, layout.Columns, layout.RiceParameter, rows.Positions);
        }
        CheckPadding(reader.NameOf(PartiallyBinarizedPacking.Positions), rows.Positions, layout.Rows);
        rows.Low = (ulong*)reader.Bytes(PartiallyBinarizedPacking.Low, ElementFormat.U8, layout.LowBytes);
        CheckPadding(reader.NameOf(PartiallyBinarizedPacking.Low), rows.Low, (long)layout.Rows * layout.LowBits);

        NativeBuffer starts = new((layout.Rows / PackedRows.RowsOfStart + 1L) * sizeof(uint));
        _owners.Add(starts);
        rows.HighStarts = (uint*)starts.Pointer;
        rows.HighBytes = CountHighStarts(name, rows);
        rows.High = reader.Bytes(PartiallyBinarizedPacking.High, ElementFormat.U8, rows.HighBytes);

        if (layout.LowBits > 0) rows.LowScale = reader.Scales(PartiallyBinarizedPacking.LowScale, layout.ScaleFormat, layout.LowScales);
        rows.LowMean = reader.Scales(PartiallyBinarizedPacking.LowMean, layout.ScaleFormat, layout.LowScales);
        rows.HighScale = reader.Scales(PartiallyBinarizedPacking.HighScale, layout.ScaleFormat, layout.HighScales);
        rows.HighZero = reader.Bytes(PartiallyBinarizedPacking.HighZero, ElementFormat.U8, layout.HighScales);
        for (long i = 0; i < layout.HighScales; i++)
        {
            if (rows.HighZero[i] >> layout.HighBits != 0)
                throw new LowbitException($"tensor {reader.NameOf(PartiallyBinarizedPacking.HighZero)}: element {i} is {rows.HighZero[i]}, codes have {layout.HighBits} bits; the file is damaged.");
        }
        _rows = rows;
        long tables = (layout.LowBits > 0 ? 2 : 1) * layout.LowScales + layout.HighScales;
        Parts = new PartiallyBinarizedBytes(
            storedPositions, layout.BitmapBytes, layout.LowBytes, rows.HighBytes, layout.ScaleFormat.ByteCount(tables) + layout.HighScales);
    }

    /// <summary>How the parts lie.</summary>
    public PartiallyBinarizedLayout Layout { get; }

    /// <summary>Where the bytes go.</summary>
    public PartiallyBinarizedBytes Parts { get; }

    /// <inheritdoc/>
    public override string Format => $"PB{Layout.LowBits}+{Layout.HighBits}";

    /// <inheritdoc/>
    public override long Bytes => Parts.Read;

    /// <summary>Turns the packed form back into plain arrays. Scales and means are as stored; without low bits the low scales are 0.</summary>
    public PartiallyBinarizedCodes Unpack()
    {
        PartiallyBinarizedCodes codes = new(Rows, Columns, Layout.LowBits, Layout.HighBits, Layout.LowGroupSize, Layout.HighGroupSize);
        byte* unpacked = Scratch.Ensure(ref t_codes, _rows.CodeStride);
        for (int r = 0; r < Rows; r++)
        {
            _rows.UnpackHigh(r, unpacked);
            byte* next = unpacked;
            for (int c = 0; c < Columns; c++)
            {
                long i = (long)r * Columns + c;
                int value = 0;
                for (int plane = 0; plane < Layout.LowBits; plane++)
                    value |= (int)(_rows.Low[((long)r * Layout.LowBits + plane) * Layout.Words + c / 64] >> c % 64 & 1) << plane;
                codes.Salient[i] = (_rows.Positions[(long)r * Layout.Words + c / 64] >> c % 64 & 1) != 0;
                if (codes.Salient[i]) value = value << Layout.RestBits | *next++;
                codes.Codes[i] = (byte)value;
            }
        }
        for (int i = 0; i < codes.LowMean.Length; i++)
        {
            if (Layout.LowBits > 0) codes.LowScale[i] = _rows.Scale(_rows.LowScale, i);
            codes.LowMean[i] = _rows.Scale(_rows.LowMean, i);
        }
        for (int i = 0; i < codes.HighScale.Length; i++)
        {
            codes.HighScale[i] = _rows.Scale(_rows.HighScale, i);
            codes.HighZero[i] = _rows.HighZero[i];
        }
        return codes;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => VectorLimit.Widths(TileProductAvx512.IsSupported, TileProductAvx2.IsSupported);

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        byte* codes = Scratch.Ensure(ref t_codes, _rows.CodeStride);
        for (int r = 0; r < rowCount; r++)
        {
            _rows.UnpackHigh(firstRow + r, codes);
            RowDequantizer.Run(_rows, firstRow + r, codes, destination + (long)r * Columns);
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        bool integers = UsesIntegers(activations);
        if (PrepareTiles(pool, activations) > 0) Products.Multiply(pool, activations, new Product(this, output));
        else if (integers && TileProductAvx512.IsSupported) MultiplyTiles<TileProductAvx512>(pool, activations, output);
        else if (integers && TileProductAvx2.IsSupported) MultiplyTiles<TileProductAvx2>(pool, activations, output);
        else if (integers) MultiplyScalar(pool, activations, output);
        else if (activations.Tokens >= Activations.ManyTokens) DequantizedProduct.Multiply(pool, this, activations.Values, activations.Tokens, output);
        else RowProduct.Multiply(pool, this, activations.Values, activations.Tokens, output);
    }

    /// <summary>Whether a product keeps integers; otherwise it takes the activations as floats.</summary>
    internal bool UsesIntegers(Activations activations) =>
        activations.Mode == ActivationMode.EightBit && _rows.GroupsHoldWholeBlocks && (TileProductAvx2.IsSupported || activations.Tokens < Activations.ManyTokens);

    /// <summary>The product with integer sums, row by row from the parts as they are: the oracle.</summary>
    internal void MultiplyScalar(WorkerPool pool, Activations activations, float* output)
    {
        for (int first = 0; first < activations.Tokens; first += TokensAtOnce)
        {
            int tokens = Math.Min(TokensAtOnce, activations.Tokens - first);
            ScalarWork work = new() { Matrix = this, Input = RoundedTokens.Make(pool, activations, first, tokens, tables: false), Tokens = tokens, Output = output + (long)first * Rows };
            pool.Run(ref work, Rows, RowsOfChunk);
        }
    }

    /// <summary>The product with integer sums from tiles.</summary>
    internal void MultiplyTiles<TKernel>(WorkerPool pool, Activations activations, float* output) where TKernel : struct, ITileProduct
    {
        RowTiles tiles = Tiles(pool, TKernel.Form);
        for (int first = 0; first < activations.Tokens; first += TokensAtOnce)
        {
            int tokens = Math.Min(TokensAtOnce, activations.Tokens - first);
            TileWork<TKernel> work = Work<TKernel>(tiles, RoundedTokens.Make(pool, activations, first, tokens, tables: true), tokens, output + (long)first * Rows);
            pool.Run(ref work, tiles.Count, TilesOfChunk);
        }
    }

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations) =>
        activations.Tokens <= FewTokens && TileProductAvx2.IsSupported && UsesIntegers(activations) ? Tiles(pool, TileProductAvx512.IsSupported ? TileProductAvx512.Form : TileProductAvx2.Form).Count : 0;

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => _tiles![tile].Moves;

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end)
    {
        RoundedTokens input = RoundedTokens.OfThread(activations, _tiles![start].Data);
        if (TileProductAvx512.IsSupported) Work<TileProductAvx512>(_tiles!, input, activations.Tokens, output).Execute(start, end);
        else Work<TileProductAvx2>(_tiles!, input, activations.Tokens, output).Execute(start, end);
    }

    private TileWork<TKernel> Work<TKernel>(RowTiles tiles, RoundedTokens input, int tokens, float* output) where TKernel : struct, ITileProduct =>
        new() { Matrix = this, Tiles = tiles, Input = input, Tokens = tokens, Output = output };

    private RowTiles Tiles(WorkerPool pool, StepForm form)
    {
        if (Volatile.Read(ref _tiles) is { } tiles && tiles.Form == form) return tiles;
        lock (_tilesLock)
        {
            if (_tiles is { } others && others.Form == form) return others;
            RowTiles made = new(pool, _rows, form);
            foreach (object owner in _owners) (owner as Tensor)?.ReleasePages(); // the next product needs the tiles alone
            Volatile.Write(ref _tiles, made);
            return made;
        }
    }

    // Bits beyond the last column would be added to the products.
    private void CheckPadding(string tensor, ulong* words, long rows)
    {
        if (Columns % 64 == 0) return;
        for (long r = 0; r < rows; r++)
        {
            if (words[(r + 1) * Layout.Words - 1] >> Columns % 64 != 0)
                throw new LowbitException($"tensor {tensor}: row {r} has ones beyond its {Columns} columns, where zeros are expected; the file is damaged.");
        }
    }

    private static long CountHighStarts(string name, in PackedRows rows)
    {
        long start = 0;
        for (int r = 0; r < rows.Rows; r++)
        {
            if (r % PackedRows.RowsOfStart == 0) rows.HighStarts[r / PackedRows.RowsOfStart] = (uint)start;
            start += CodeStream.Bytes(rows.SalientCount(r), rows.RestBits);
            if (start > uint.MaxValue) throw new LowbitException($"{name}: the codes of the salient weights take over 4 GiB, which one matrix cannot have; split it by rows.");
        }
        return start;
    }

    private struct ScalarWork : IParallelWork
    {
        public PartiallyBinarizedMatrix Matrix;
        public RoundedTokens Input;
        public int Tokens;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            ref readonly PackedRows rows = ref Matrix._rows;
            byte* rest = Scratch.Ensure(ref t_codes, rows.CodeStride);
            for (int r = start; r < end; r++)
            {
                rows.UnpackHigh(r, rest);
                for (int t = 0; t < Tokens; t++) Output[(long)t * rows.Rows + r] = SegmentProduct.Row(rows, r, rest, Input.Token(t));
            }
        }
    }

    private struct TileWork<TKernel> : IParallelWork where TKernel : struct, ITileProduct
    {
        public PartiallyBinarizedMatrix Matrix;
        public RowTiles Tiles;
        public RoundedTokens Input;
        public int Tokens;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            ref readonly PackedRows rows = ref Matrix._rows;
            float* results = stackalloc float[RowTiles.Rows];
            for (int tile = start; tile < end; tile++)
            {
                RowTile data = Tiles[tile];
                int count = Math.Min(RowTiles.Rows, rows.Rows - tile * RowTiles.Rows);
                for (int t = 0; t < Tokens; t++)
                {
                    TileProduct<TKernel>.Run(rows, data, Input.Token(t), results);
                    for (int i = 0; i < count; i++) Output[(long)t * rows.Rows + data.Row(i)] = results[i];
                }
            }
        }
    }
}
