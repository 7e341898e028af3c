using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// A packed weight of codes into codebooks of its rows and groups, computed from the bytes of the parts as they lie in the file.
/// </summary>
public sealed unsafe class CodebookMatrix : LevelMatrix
{
    [ThreadStatic]
    private static NativeBuffer? t_ternary;

    private const int ManyTokens = 16; // of planes, from which on rows are rebuilt

    private readonly List<object> _owners = [];
    private readonly Tensor _source;
    private readonly byte* _codes, _numbers;
    private readonly LevelTables? _tables; // where rows have tables
    private readonly byte* _classes; // [blocks · 64], what the class of a column adds to its codes

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="CodebookPacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds a number that is not finite.</exception>
    public CodebookMatrix(string name, CodebookLayout layout, IReadOnlyDictionary<string, Tensor> parts) : base(layout.Check(name).Rows, layout.Columns)
    {
        Layout = layout;
        PartReader reader = new(name, parts, _owners);
        _codes = reader.Bytes(CodebookPacking.Codes, ElementFormat.U8, layout.CodeBytes);
        _numbers = reader.Scales(CodebookPacking.Levels, layout.ScaleFormat, layout.AllNumbers);
        if (HasLevelRows) _tables = new LevelTables(layout);
        _source = parts[CodebookPacking.Codes];
        if (LevelBlocks.Fits(layout)) Interleaved = new InterleavedCopy(pool => LevelBlocks.Interleave(pool, new LevelBlocks(name, layout, _codes, _numbers, _source), layout.Levels));
        if (PlaneShape.Fits(layout)) Interleaved = new InterleavedCopy(pool => new PlaneWeights(pool, layout, _codes, _numbers, _classes, _source));
        if (layout.Classes == 1) return;
        byte* bitmap = reader.Bytes(CodebookPacking.Class, ElementFormat.U8, layout.ClassBytes);
        NativeBuffer classes = new((long)layout.Blocks * CodebookLayout.BlockLength);
        _owners.Add(classes);
        _classes = classes.Pointer;
        for (int c = 0; c < Columns; c++) _classes[c] = (byte)((bitmap[c / 8] >> c % 8 & 1) << layout.Bits);
    }

    /// <summary>How the parts lie.</summary>
    public CodebookLayout Layout { get; }

    /// <inheritdoc/>
    public override string Format => $"C{Layout.Bits}";

    /// <inheritdoc/>
    public override long Bytes => Layout.CodeBytes + Layout.ScaleFormat.ByteCount(Layout.AllNumbers) + Layout.ClassBytes;

    /// <summary>Turns the packed form back into plain arrays; the unused level of ternary codebooks is their middle one.</summary>
    public CodebookCodes Unpack()
    {
        bool[]? secondClass = null;
        if (_classes != null)
        {
            secondClass = new bool[Columns];
            for (int c = 0; c < Columns; c++) secondClass[c] = _classes[c] != 0;
        }
        CodebookCodes codes = new(Rows, Columns, Layout.Bits, Layout.GroupSize, secondClass);
        byte* block = stackalloc byte[TernaryBlock.UnpackedBytes];
        float* table = stackalloc float[ILevelLookup.TableLength];
        int levels = Layout.Classes << Layout.Bits;
        for (int r = 0; r < Rows; r++)
        {
            for (int b = 0; b < Layout.Blocks; b++)
            {
                if (Layout.Levels.IsTernary()) TernaryBlock.Unpack(Block(r, b), block);
                else CodeBlock.UnpackScalar(Block(r, b), Layout.Bits, block);
                int first = b * CodebookLayout.BlockLength, count = Math.Min(CodebookLayout.BlockLength, Columns - first);
                new ReadOnlySpan<byte>(block, count).CopyTo(codes.Codes.AsSpan(checked(r * Columns + first)));
            }
            for (int g = 0; g < Layout.Groups; g++)
            {
                Expand(r, g, table);
                new ReadOnlySpan<float>(table, levels).CopyTo(codes.Levels.AsSpan(checked((r * Layout.Groups + g) * levels)));
            }
        }
        return codes;
    }

    /// <inheritdoc/>
    /// <remarks>Planes go through one token after the other; floats, once rebuilt, are twice as fast with many.</remarks>
    public override void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        if (activations.Mode != ActivationMode.EightBit || activations.Tokens < ManyTokens || !PlaneShape.Fits(Layout))
        {
            base.Multiply(pool, activations, output);
            return;
        }
        ArgumentOutOfRangeException.ThrowIfNotEqual(activations.Features, Columns);
        DequantizedProduct.Multiply(pool, this, activations.RoundedValues, activations.Tokens, output);
        _source.ReleasePages(); // the next token needs the planes alone
    }

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        if (LevelLookupAvx512.IsSupported) DequantizeRows<LevelLookupAvx512>(firstRow, rowCount, destination);
        else if (LevelLookupAvx2.IsSupported) DequantizeRows<LevelLookupAvx2>(firstRow, rowCount, destination);
        else DequantizeRows<LevelLookupScalar>(firstRow, rowCount, destination);
    }

    /// <inheritdoc/>
    internal override LevelKind Kind => LevelKind.Table;

    /// <inheritdoc/>
    internal override bool HasLevelRows =>
        Layout.Classes << Layout.Bits <= LevelRow.TableLength && (Layout.GroupSize % LevelRow.RunLength == 0 || Layout.Groups == 1);

    /// <inheritdoc/>
    internal override int Tables => Layout.Groups;

    /// <inheritdoc/>
    internal override void Describe(int row, ref LevelRow levels)
    {
        levels.Codes = Block(row, 0);
        levels.Bits = Layout.Bits;
        if (Layout.Levels.IsTernary())
        {
            byte* unpacked = Scratch.Ensure(ref t_ternary, (long)Layout.Blocks * CodebookLayout.BlockLength + TernaryBlock.UnpackedBytes);
            for (int b = 0; b < Layout.Blocks; b++) TernaryBlock.Unpack(levels.Codes + b * TernaryBlock.Bytes, unpacked + b * CodebookLayout.BlockLength);
            levels.Codes = unpacked;
            levels.Bits = 8;
        }
        levels.Classes = _classes;
        levels.RunsOfTable = Layout.Groups == 1 ? int.MaxValue : Layout.GroupSize / LevelRow.RunLength;
        levels.IsSmallTable = Layout.Classes << Layout.Bits <= 8;
        levels.Scales = null;
        _tables!.Fill(_numbers, row, levels.Tables);
    }

    /// <summary>Rebuilds rows with a given form of the lookup.</summary>
    internal void DequantizeRows<TLookup>(int firstRow, int rowCount, float* destination) where TLookup : struct, ILevelLookup
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        byte* indices = stackalloc byte[TernaryBlock.UnpackedBytes];
        float* table = stackalloc float[ILevelLookup.TableLength];
        int levels = Layout.Classes << Layout.Bits, blocks = Layout.Blocks, blockBytes = Layout.BlockBytes, groupSize = Layout.GroupSize;
        bool isTernary = Layout.Levels.IsTernary();
        byte* block = Block(firstRow, 0);
        for (int r = firstRow; r < firstRow + rowCount; r++, destination += Columns)
        {
            int group = 0, groupEnd = 0;
            for (int b = 0; b < blocks; b++, block += blockBytes)
            {
                int first = b * CodebookLayout.BlockLength, end = Math.Min(Columns, first + CodebookLayout.BlockLength);
                if (isTernary) TernaryBlock.Unpack(block, indices);
                else CodeBlock.Unpack(block, Layout.Bits, indices);
                if (_classes != null)
                {
                    ulong* words = (ulong*)indices, classes = (ulong*)(_classes + first);
                    for (int i = 0; i < CodebookLayout.BlockLength / sizeof(ulong); i++) words[i] |= classes[i];
                }
                for (int c = first; c < end;)
                {
                    if (c == groupEnd)
                    {
                        Expand(r, group++, table);
                        groupEnd = (int)Math.Min(Columns, (long)c + groupSize);
                    }
                    int stop = Math.Min(end, groupEnd);
                    TLookup.Run(indices + (c - first), stop - c, table, levels, destination + c);
                    c = stop;
                }
            }
        }
    }

    private byte* Block(long row, int block) => _codes + (row * Layout.Blocks + block) * Layout.BlockBytes;

    private void Expand(long row, int group, float* table)
    {
        int all = Layout.Numbers, numbers = all / Layout.Classes, levels = 1 << Layout.Bits;
        long first = (row * Layout.Groups + group) * all;
        float* halves = stackalloc float[ILevelLookup.TableLength];
        ReadOnlySpan<float> source = new((float*)_numbers + first, all);
        if (Layout.ScaleFormat == ElementFormat.F16)
        {
            for (int i = 0; i < all; i++) halves[i] = FiniteHalf.ToFloat(((Half*)_numbers)[first + i]);
            source = new(halves, all);
        }
        for (int k = 0; k < Layout.Classes; k++)
            Layout.Levels.Expand(source.Slice(k * numbers, numbers), new Span<float>(table + k * levels, levels));
    }
}
