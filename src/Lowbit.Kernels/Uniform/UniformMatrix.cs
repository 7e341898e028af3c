using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>Where the bytes of a packed matrix on uniform grids go.</summary>
/// <param name="Codes">Codes.</param>
/// <param name="Scales">Scales and zeros.</param>
public readonly record struct UniformBytes(long Codes, long Scales);

/// <summary>A packed weight on uniform grids.</summary>
/// <remarks>
/// 8-bit activations and groups that are whole rows or have 16 (up to 5 bits, zeros that are codes), 32 or a multiple of 64 columns: integer sums, the same with any kernel to the
/// last bit. With scales of 16 bits they come from a copy with interleaved rows that the first such product makes, the pages
/// of the file are given back then; with scales of 32 bits from the bytes as they lie, but for groups of 16 and 32 and for more than seven tokens. Otherwise rows
/// are rebuilt as floats, which equals the definition up to rounding of sums.
/// </remarks>
public sealed unsafe class UniformMatrix : WeightMatrix
{
    private const int TilesOfChunk = 4; // tiles of eight rows that a thread takes at a time

    private readonly List<object> _owners = [];
    private readonly UniformRows _rows;

    private UniformMatrix(string name, UniformLayout layout, IReadOnlyDictionary<string, Tensor> parts, PartReader reader, List<object> owners) : base(layout.Rows, layout.Columns)
    {
        Layout = layout;
        _owners = owners;
        _rows = new UniformRows
        {
            Rows = layout.Rows,
            Columns = layout.Columns,
            Bits = layout.Bits,
            GroupSize = layout.GroupSize,
            Groups = layout.Groups,
            Blocks = layout.Blocks,
            BlockBytes = layout.BlockBytes,
            HalfScales = layout.ScaleFormat == ElementFormat.F16,
            RealZeros = layout.RealZeros,
            Codes = reader.Bytes(UniformPacking.Codes, ElementFormat.U8, layout.CodeBytes),
            Scales = reader.Scales(UniformPacking.Scale, layout.ScaleFormat, layout.Parameters),
            Zeros = layout.RealZeros
                ? reader.Scales(UniformPacking.Zero, layout.ScaleFormat, layout.Parameters)
                : reader.Bytes(UniformPacking.Zero, ElementFormat.U8, layout.Parameters),
        };
        for (long i = 0; !layout.RealZeros && i < layout.Parameters; i++)
        {
            if (_rows.Zeros[i] >> layout.Bits != 0)
                throw new LowbitException($"tensor {reader.NameOf(UniformPacking.Zero)}: element {i} is {_rows.Zeros[i]}, codes have {layout.Bits} bits; the file is damaged.");
        }
        Tensor codes = parts[UniformPacking.Codes];
        Interleaved = new InterleavedCopy(pool => _rows.GroupsHoldWholeBlocks || !UniformUnitBlocks.Fits(_rows)
            ? UniformBlockRows.Interleave(pool, new UniformBlockRows(name, _rows, codes))
            : UniformUnitBlocks.Interleave(pool, new UniformUnitBlocks(name, _rows, codes)));
        Parts = new UniformBytes(layout.CodeBytes, layout.ScaleBytes);
    }

    /// <summary>Takes and checks the parts of a matrix.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="UniformPacking"/>.</param>
    /// <returns>A <see cref="UniformMatrix"/>, within a <see cref="ReorderedMatrix"/> where columns are stored in another order.</returns>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or contradicts the others.</exception>
    public static WeightMatrix Load(string name, UniformLayout layout, IReadOnlyDictionary<string, Tensor> parts)
    {
        layout.Check(name);
        if (layout.Nested) parts = NestedScales.Expand(name, layout, parts);
        List<object> owners = [];
        PartReader reader = new(name, parts, owners);
        UniformMatrix matrix = new(name, layout, parts, reader, owners);
        if (!layout.Reordered) return matrix;
        byte* order = reader.Bytes(UniformPacking.Order, ElementFormat.U32, ElementFormat.U32.ByteCount(layout.Columns));
        return new ReorderedMatrix(reader.NameOf(UniformPacking.Order), matrix, new ReadOnlySpan<uint>(order, layout.Columns));
    }

    /// <summary>How the parts lie.</summary>
    public UniformLayout Layout { get; }

    /// <summary>Where the bytes go.</summary>
    public UniformBytes Parts { get; }

    /// <inheritdoc/>
    public override string Format => $"U{Layout.Bits}";

    /// <inheritdoc/>
    public override long Bytes => Parts.Codes + Parts.Scales;

    /// <summary>Turns the packed form back into plain arrays, columns in stored order, scales and zeros as stored.</summary>
    public UniformCodes Unpack()
    {
        UniformCodes codes = new(Rows, Columns, Layout.Bits, Layout.GroupSize, realZeros: Layout.RealZeros);
        byte* block = stackalloc byte[UniformLayout.BlockLength];
        for (int r = 0; r < Rows; r++)
            for (int b = 0; b < Layout.Blocks; b++)
            {
                CodeBlock.UnpackScalar(_rows.Block(r, b), Layout.Bits, block);
                int first = b * UniformLayout.BlockLength, count = Math.Min(UniformLayout.BlockLength, Columns - first);
                new ReadOnlySpan<byte>(block, count).CopyTo(codes.Codes.AsSpan(checked(r * Columns + first)));
            }
        for (int i = 0; i < Layout.Parameters; i++)
        {
            codes.Scales[i] = _rows.Scale(i);
            if (codes.RealZeros is null) codes.Zeros[i] = _rows.Zeros[i];
            else codes.RealZeros[i] = _rows.Zero(i);
        }
        return codes;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<int> KernelWidths => _rows.CanBeInterleaved ? InterleavedWeights.Widths : VectorLimit.Widths(UniformProductAvx512.IsSupported, UniformProductAvx2.IsSupported);

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        for (int r = 0; r < rowCount; r++) _rows.Dequantize(firstRow + r, destination + (long)r * Columns);
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        bool eightBit = activations.Mode == ActivationMode.EightBit;
        if (IsInterleaved(activations))
        {
            Interleaved.Get(pool).Multiply(pool, activations, output);
            return;
        }
        if (activations.Tokens >= Activations.ManyTokens)
            DequantizedProduct.Multiply(pool, this, eightBit ? activations.RoundedValues : activations.Values, activations.Tokens, output);
        else if (!eightBit || !_rows.GroupsHoldWholeBlocks) RowProduct.Multiply(pool, this, activations, output);
        else if (UniformProductAvx512.IsSupported) MultiplyEightBit<UniformProductAvx512>(pool, activations, output);
        else if (UniformProductAvx2.IsSupported) MultiplyEightBit<UniformProductAvx2>(pool, activations, output);
        else MultiplyEightBit<UniformProductScalar>(pool, activations, output);
    }

    /// <inheritdoc/>
    internal override int PrepareTiles(WorkerPool pool, Activations activations) => IsInterleaved(activations) ? Interleaved.Get(pool).TilesFor(activations.Tokens) : 0;

    /// <inheritdoc/>
    internal override byte* TileStart(int tile) => Interleaved.Made!.TileStart(tile);

    /// <inheritdoc/>
    internal override void MultiplyTiles(Activations activations, float* output, int start, int end) => Interleaved.Made!.MultiplyTiles(activations, output, start, end);

    private bool IsInterleaved(Activations activations) => activations.Mode == ActivationMode.EightBit && _rows.CanBeInterleaved;

    /// <summary>The copy with interleaved rows, which products in 8-bit mode take where scales have 16 bits and groups are such.</summary>
    internal InterleavedCopy Interleaved { get; }

    /// <summary>The product with integer sums and a given kernel.</summary>
    internal void MultiplyEightBit<TKernel>(WorkerPool pool, Activations activations, float* output) where TKernel : struct, IUniformProduct
    {
        EightBitWork<TKernel> work = new() { Matrix = this, Activations = activations, Output = output };
        pool.Run(ref work, (Rows + IUniformProduct.Rows - 1) / IUniformProduct.Rows, TilesOfChunk);
    }

    private struct EightBitWork<TKernel> : IParallelWork where TKernel : struct, IUniformProduct
    {
        public UniformMatrix Matrix;
        public Activations Activations;
        public float* Output;

        public readonly void Execute(int start, int end)
        {
            float* results = stackalloc float[IUniformProduct.Rows];
            for (int tile = start; tile < end; tile++)
            {
                int first = tile * IUniformProduct.Rows, count = Math.Min(IUniformProduct.Rows, Matrix.Rows - first);
                for (int t = 0; t < Activations.Tokens; t++)
                {
                    long block = (long)t * Activations.Blocks;
                    TKernel.Run(Matrix._rows, first, Activations.Codes + block * Activations.BlockLength, Activations.Scales + block, Activations.Sums + block, results);
                    for (int i = 0; i < count; i++) Output[(long)t * Matrix.Rows + first + i] = results[i];
                }
            }
        }
    }
}
