using System;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>The numbers that say how the parts of a packed sparse matrix lie; see docs/formats/composite.md.</summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="Elements">Elements that are stored.</param>
public sealed record SparseLayout(int Rows, int Columns, int Elements)
{
    /// <summary>U16 where that holds every column, else U32.</summary>
    public ElementFormat IndexFormat => Columns <= 1 << 16 ? ElementFormat.U16 : ElementFormat.U32;

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public SparseLayout Check(string name)
    {
        LayoutCheck check = new(name, "sparse layout", Rows, Columns);
        check.Require(Elements >= 0 && Elements <= (long)Rows * Columns, nameof(Elements), Elements, "at most rows times columns");
        return this;
    }
}

/// <summary>Packs sparse matrices; see docs/formats/composite.md.</summary>
public static class SparsePacking
{
    /// <summary>[rows + 1], where the elements of each row begin.</summary>
    public const string Starts = "s_starts";

    /// <summary>[elements], rising within a row.</summary>
    public const string Columns = "s_columns";

    /// <summary>[elements].</summary>
    public const string Values = "s_values";

    /// <summary>All parts that a matrix has; the last two are left out where there are no elements.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Starts, Columns, Values];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <exception cref="LowbitException">Rows or columns are out of order, or half precision does not hold a value exactly.</exception>
    public static Packed<SparseLayout> Pack(SparseCodes codes)
    {
        SparseLayout layout = new(codes.Rows, codes.Columns, codes.Values.Length);
        layout.Check("the matrix to pack");
        ReadOnlySpan<uint> starts = MemoryMarshal.Cast<int, uint>(codes.RowStarts), columns = MemoryMarshal.Cast<int, uint>(codes.ColumnIndices);
        if (starts.Length != layout.Rows + 1 || columns.Length != layout.Elements || Fault(layout, starts, columns) is not null)
            throw new LowbitException($"the matrix to pack: {Fault(layout, starts, columns) ?? "its arrays have other lengths than its shape asks for"}; the method that made it is at fault.");
        ImmutableArray<PackedPart> parts = [new(Starts, ElementFormat.U32, [starts.Length], MemoryMarshal.AsBytes(starts).ToArray())];
        if (layout.Elements == 0) return new Packed<SparseLayout>(layout, parts);
        byte[] indices = layout.IndexFormat == ElementFormat.U32
            ? MemoryMarshal.AsBytes(columns).ToArray()
            : MemoryMarshal.AsBytes<ushort>(Array.ConvertAll(codes.ColumnIndices, column => (ushort)column)).ToArray();
        return new Packed<SparseLayout>(layout, [.. parts, new(Columns, layout.IndexFormat, [layout.Elements], indices), HalfPart.Of(Values, codes.Values, [layout.Elements])]);
    }

    /// <summary>What is wrong with the positions, or null.</summary>
    internal static string? Fault(SparseLayout layout, ReadOnlySpan<uint> starts, ReadOnlySpan<uint> columns)
    {
        if (starts.IsEmpty || starts[0] != 0 || starts[^1] != (uint)layout.Elements) return $"rows do not begin at element 0 and end at {layout.Elements}";
        for (int r = 0; r < starts.Length - 1; r++)
        {
            if (starts[r + 1] < starts[r] || starts[r + 1] > (uint)layout.Elements) return $"row {r} ends at element {starts[r + 1]}, after {starts[r]} and up to {layout.Elements} was expected";
            for (uint i = starts[r]; i < starts[r + 1] && i < (uint)columns.Length; i++)
            {
                if (columns[(int)i] >= (uint)layout.Columns || (i > starts[r] && columns[(int)i] <= columns[(int)i - 1]))
                    return $"element {i} of row {r} is in column {columns[(int)i]}, a rising one below {layout.Columns} was expected";
            }
        }
        return null;
    }
}
