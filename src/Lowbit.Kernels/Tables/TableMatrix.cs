using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Levels;

namespace Lowbit.Kernels.Tables;

/// <summary>
/// A packed weight of 4-bit codes into a table of levels, computed from the bytes of the parts as they lie in the file.
/// </summary>
public sealed unsafe class TableMatrix : LevelMatrix
{
    private readonly List<object> _owners = [];
    private readonly byte* _codes, _scaleCodes;
    private readonly float* _table, _scales, _nestedTable;
    private readonly float _offset;

    /// <summary>Takes and checks the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="TablePacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or holds a number that is not finite.</exception>
    public TableMatrix(string name, TableLayout layout, IReadOnlyDictionary<string, Tensor> parts) : base(layout.Check(name).Rows, layout.Columns)
    {
        Layout = layout;
        PartReader reader = new(name, parts, _owners);
        _codes = reader.Bytes(TablePacking.Codes, ElementFormat.U8, layout.CodeBytes);
        _table = (float*)reader.Scales(TablePacking.Table, ElementFormat.F32, 16);
        if (layout.NestedScales)
        {
            _scaleCodes = reader.Bytes(TablePacking.Scale, ElementFormat.U8, layout.Blocks);
            _nestedTable = (float*)reader.Scales(TablePacking.NestedTable, ElementFormat.F32, 256);
            _scales = (float*)reader.Scales(TablePacking.NestedScale, ElementFormat.F32, layout.NestedBlocks);
            _offset = *(float*)reader.Scales(TablePacking.NestedOffset, ElementFormat.F32, 1);
        }
        else
        {
            _scales = (float*)reader.Scales(TablePacking.Scale, ElementFormat.F32, layout.Blocks);
        }
    }

    /// <summary>How the parts lie.</summary>
    public TableLayout Layout { get; }

    /// <inheritdoc/>
    public override string Format => "T4";

    /// <inheritdoc/>
    public override long Bytes => Layout.CodeBytes + 16 * sizeof(float)
        + (Layout.NestedScales ? Layout.Blocks + (256 + Layout.NestedBlocks + 1) * sizeof(float) : Layout.Blocks * sizeof(float));

    /// <summary>Turns the packed form back into plain arrays.</summary>
    public TableCodes Unpack()
    {
        NestedScales? nested = !Layout.NestedScales ? null : new NestedScales(
            [.. new ReadOnlySpan<float>(_nestedTable, 256)], new ReadOnlySpan<byte>(_scaleCodes, checked((int)Layout.Blocks)).ToArray(),
            new ReadOnlySpan<float>(_scales, (int)Layout.NestedBlocks).ToArray(), _offset);
        TableCodes codes = new(Rows, Columns, [.. new ReadOnlySpan<float>(_table, 16)], Layout.BlockSize) { Nested = nested };
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)Code(i);
        for (int b = 0; b < codes.Scales.Length; b++) codes.Scales[b] = Scale(b);
        return codes;
    }

    /// <inheritdoc/>
    public override void DequantizeRows(int firstRow, int rowCount, float* destination)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstRow);
        ArgumentOutOfRangeException.ThrowIfNegative(rowCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rowCount, Rows - firstRow);
        long end = (long)(firstRow + rowCount) * Columns;
        for (long i = (long)firstRow * Columns; i < end;)
        {
            long block = i / Layout.BlockSize, stop = Math.Min(end, (block + 1) * Layout.BlockSize);
            Levels(i, (int)(stop - i), Scale(block), destination);
            destination += stop - i;
            i = stop;
        }
    }

    /// <inheritdoc/>
    internal override LevelKind Kind => LevelKind.Table;

    /// <inheritdoc/>
    internal override bool IsPaired => true;

    /// <inheritdoc/>
    internal override bool HasLevelRows => Columns % LevelRow.RunLength == 0 && Columns % Layout.BlockSize == 0 && Layout.BlockSize % LevelRow.RunLength == 0;

    /// <inheritdoc/>
    internal override void Describe(int row, ref LevelRow levels)
    {
        levels.Codes = _codes + (long)row * Columns / 2;
        levels.Bits = 4;
        levels.Tables = _table;
        levels.RunsOfTable = int.MaxValue;
        levels.ScalesOfRun = 1;
        int runsOfBlock = Layout.BlockSize / LevelRow.RunLength;
        long block = (long)row * Columns / Layout.BlockSize;
        for (int run = 0; run < levels.Runs; block++)
        {
            float scale = Scale(block);
            for (int end = run + runsOfBlock; run < end; run++) levels.Scales[run] = scale;
        }
    }

    private int Code(long i) => i % 2 == 0 ? _codes[i / 2] >> 4 : _codes[i / 2] & 15;

    private float Scale(long block) =>
        Layout.NestedScales ? _nestedTable[_scaleCodes[block]] * _scales[block / NestedScales.BlockSize] + _offset : _scales[block];

    // The elements from i on, all of one block.
    private void Levels(long i, int count, float scale, float* destination)
    {
        int k = 0;
        if (Avx2.IsSupported)
        {
            if (i % 2 != 0) destination[k++] = _table[Code(i)] * scale;
            Vector256<float> lower = Vector256.Load(_table), upper = Vector256.Load(_table + 8), scales = Vector256.Create(scale);
            Vector256<uint> shifts = Vector256.Create(4u, 0, 12, 8, 20, 16, 28, 24);
            for (; k + 8 <= count; k += 8)
            {
                // Permutations look at the lower three bits of an index, the blend at the highest bit of a lane.
                Vector256<int> index = Avx2.ShiftRightLogicalVariable(Vector256.Create(*(uint*)(_codes + (i + k) / 2)), shifts).AsInt32();
                Vector256<float> level = Avx.BlendVariable(
                    Avx2.PermuteVar8x32(lower, index), Avx2.PermuteVar8x32(upper, index), Vector256.ShiftLeft(index, 28).AsSingle());
                (level * scales).Store(destination + k);
            }
        }
        for (; k < count; k++) destination[k] = _table[Code(i + k)] * scale;
    }
}
