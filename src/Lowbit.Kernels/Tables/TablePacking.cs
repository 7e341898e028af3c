using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels.Tables;

/// <summary>
/// The numbers that say how the parts of a packed matrix of table codes lie; the bytes themselves are described in
/// docs/formats/tables.md.
/// </summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="BlockSize">Consecutive elements that share a scale, an even number.</param>
/// <param name="NestedScales">Whether the scales are 8-bit codes into a table of their own.</param>
public sealed record TableLayout(int Rows, int Columns, int BlockSize, bool NestedScales)
{
    /// <summary>Elements of the matrix.</summary>
    public long Elements => (long)Rows * Columns;

    /// <summary>Bytes of the codes.</summary>
    public long CodeBytes => (Elements + 1) / 2;

    /// <summary>Blocks of the matrix.</summary>
    public long Blocks => (Elements + BlockSize - 1) / BlockSize;

    /// <summary>Blocks of the scales.</summary>
    public long NestedBlocks => (Blocks + Tables.NestedScales.BlockSize - 1) / Tables.NestedScales.BlockSize;

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public TableLayout Check(string name)
    {
        LayoutCheck check = new(name, "table layout", Rows, Columns);
        check.Require(BlockSize > 0 && BlockSize % 2 == 0, nameof(BlockSize), BlockSize, "a positive even number");
        return this;
    }
}

/// <summary>Packs codes into the bytes that are stored and computed from; see docs/formats/tables.md.</summary>
public static class TablePacking
{
    /// <summary>Codes, two a byte, the first one in the upper half, as bitsandbytes stores them.</summary>
    public const string Codes = "t_codes";

    /// <summary>[16] levels.</summary>
    public const string Table = "t_table";

    /// <summary>[blocks] scales, or their codes.</summary>
    public const string Scale = "t_scale";

    /// <summary>[256] levels of the scales.</summary>
    public const string NestedTable = "t_nested_table";

    /// <summary>[nested blocks] scales of the scales.</summary>
    public const string NestedScale = "t_nested_scale";

    /// <summary>[1] what is added to all scales.</summary>
    public const string NestedOffset = "t_nested_offset";

    /// <summary>All parts that a matrix may have.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Codes, Table, Scale, NestedTable, NestedScale, NestedOffset];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <exception cref="LowbitException">A code is outside of its range, or a level or scale is not finite.</exception>
    public static Packed<TableLayout> Pack(TableCodes codes)
    {
        TableLayout layout = new(codes.Rows, codes.Columns, codes.BlockSize, codes.Nested is not null);
        layout.Check("the matrix to pack");
        byte[] packed = new byte[layout.CodeBytes];
        for (int i = 0; i < codes.Codes.Length; i++)
        {
            int code = codes.Codes[i];
            if (code > 15) throw new LowbitException($"the matrix to pack: code {code} at [{i / codes.Columns}, {i % codes.Columns}] does not fit 4 bits; the method that made it is at fault.");
            packed[i / 2] |= (byte)(i % 2 == 0 ? code << 4 : code);
        }
        List<PackedPart> parts = [new(Codes, ElementFormat.U8, [layout.CodeBytes], packed), Floats(Table, codes.Table.AsSpan())];
        if (codes.Nested is null)
        {
            parts.Add(Floats(Scale, codes.Scales));
        }
        else
        {
            parts.Add(new PackedPart(Scale, ElementFormat.U8, [layout.Blocks], codes.Nested.Codes));
            parts.Add(Floats(NestedTable, codes.Nested.Table.AsSpan()));
            parts.Add(Floats(NestedScale, codes.Nested.Scales));
            parts.Add(Floats(NestedOffset, [codes.Nested.Offset]));
        }
        return new Packed<TableLayout>(layout, [.. parts]);
    }

    private static PackedPart Floats(string suffix, ReadOnlySpan<float> values)
    {
        byte[] bytes = new byte[values.Length * sizeof(float)];
        for (int i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i])) throw new LowbitException($"the matrix to pack: element {i} of {suffix} is {values[i]}, a finite number was expected; look for the fault in the weight.");
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(i * sizeof(float)), values[i]);
        }
        return new PackedPart(suffix, ElementFormat.F32, [values.Length], bytes);
    }
}
