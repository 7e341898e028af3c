using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>Packs codes into the bytes that are stored and computed from; see docs/formats/uniform.md.</summary>
public static unsafe class UniformPacking
{
    /// <summary>[rows, blocks · block bytes] codes.</summary>
    public const string Codes = "u_codes";

    /// <summary>[rows, groups] steps between two levels.</summary>
    public const string Scale = "u_scale";

    /// <summary>[rows, groups] places of zero.</summary>
    public const string Zero = "u_zero";

    /// <summary>[⌈rows / 16⌉, groups, 2] grids of the scales; only where scales are nested.</summary>
    public const string Nested = "u_nested";

    /// <summary>[columns] natural place of every stored column; only in reordered matrices.</summary>
    public const string Order = "u_order";

    /// <summary>All parts that a matrix may have.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Codes, Scale, Zero, Nested, Order];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <param name="scaleFormat">F16 or F32; scales and real zeros are rounded to it.</param>
    /// <exception cref="LowbitException">A code or zero is outside of its range, a scale is not finite in the format, or a group has the wrong number of columns.</exception>
    public static Packed<UniformLayout> Pack(UniformCodes codes, ElementFormat scaleFormat)
    {
        // Scattered groups become consecutive columns again; a single group needs no order.
        int[]? order = codes.GroupOfColumn is null || codes.Groups == 1 ? null : ColumnsByGroup(codes);
        UniformLayout layout = new(codes.Rows, codes.Columns, codes.Bits, codes.GroupSize, scaleFormat, codes.RealZeros is not null, order is not null, codes.Nested is not null);
        layout.Check("the matrix to pack");
        byte[] packed = new byte[layout.CodeBytes];
        byte* block = stackalloc byte[UniformLayout.BlockLength];
        fixed (byte* target = packed)
        {
            for (int r = 0; r < layout.Rows; r++)
                for (int b = 0; b < layout.Blocks; b++)
                {
                    new Span<byte>(block, UniformLayout.BlockLength).Clear();
                    for (int i = 0; i < Math.Min(UniformLayout.BlockLength, layout.Columns - b * UniformLayout.BlockLength); i++)
                    {
                        int stored = b * UniformLayout.BlockLength + i, column = order is null ? stored : order[stored];
                        block[i] = codes.Codes[(long)r * layout.Columns + column];
                        if (block[i] >> layout.Bits != 0)
                            throw new LowbitException($"the matrix to pack: code {block[i]} at [{r}, {column}] does not fit {layout.Bits} bits; the method that made it is at fault.");
                    }
                    CodeBlock.Pack(block, layout.Bits, target + ((long)r * layout.Blocks + b) * layout.BlockBytes);
                }
        }
        foreach (byte zero in codes.Zeros)
        {
            if (zero >> layout.Bits != 0) throw new LowbitException($"the matrix to pack: the zero code {zero} does not fit {layout.Bits} bits; the method that made it is at fault.");
        }
        ImmutableArray<long> table = [layout.Rows, layout.Groups];
        List<PackedPart> parts =
        [
            new(Codes, ElementFormat.U8, [layout.Rows, (long)layout.Blocks * layout.BlockBytes], packed),
        ];
        if (codes.Nested is { } nested)
        {
            byte[] scaleCodes = NestedScales.PackCodes(nested.Codes, NestedScales.Bits), zeroCodes = NestedScales.PackCodes(codes.Zeros, layout.Bits);
            parts.Add(new(Scale, ElementFormat.U8, [scaleCodes.Length], scaleCodes));
            parts.Add(new(Zero, ElementFormat.U8, [zeroCodes.Length], zeroCodes));
            parts.Add(new(Nested, scaleFormat, [nested.Grids.Length / 2 / layout.Groups, layout.Groups, 2], PackedPart.Numbers(Nested, nested.Grids, scaleFormat)));
        }
        else
        {
            parts.Add(new(Scale, scaleFormat, table, PackedPart.Numbers(Scale, codes.Scales, scaleFormat)));
            parts.Add(new(Zero, layout.ZeroFormat, table, codes.RealZeros is null ? codes.Zeros : PackedPart.Numbers(Zero, codes.RealZeros, scaleFormat)));
        }
        if (order is not null)
        {
            byte[] bytes = new byte[order.Length * sizeof(uint)];
            for (int j = 0; j < order.Length; j++) BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(j * sizeof(uint)), (uint)order[j]);
            parts.Add(new(Order, ElementFormat.U32, [layout.Columns], bytes));
        }
        return new Packed<UniformLayout>(layout, [.. parts]);
    }

    private static int[] ColumnsByGroup(UniformCodes codes)
    {
        int[] order = new int[codes.Columns], next = new int[codes.Groups];
        for (int c = 0; c < codes.Columns; c++)
        {
            int group = codes.GroupOf(c), size = Math.Min(codes.GroupSize, codes.Columns - group * codes.GroupSize);
            if (next[group] == size) throw new LowbitException($"the matrix to pack: group {group} has more than its {size} columns; the method that made it is at fault.");
            order[group * codes.GroupSize + next[group]++] = c;
        }
        return order;
    }
}
