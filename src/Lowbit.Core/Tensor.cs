using System;
using System.Collections.Immutable;

namespace Lowbit.Core;

/// <summary>
/// A named view of bytes that somebody else owns: a mapped file or native memory. Row-major, the last dimension is
/// contiguous; a weight is [outFeatures, inFeatures].
/// </summary>
public sealed unsafe class Tensor
{
    private readonly object? _owner; // keeps the memory alive as long as the view

    /// <summary>Creates the view.</summary>
    /// <param name="name">Name in the file.</param>
    /// <param name="format">Element format.</param>
    /// <param name="shape">Dimensions, slowest first.</param>
    /// <param name="pointer">First byte; <see cref="Bytes"/> bytes must be readable.</param>
    /// <param name="bytes">Size in bytes. Whoever makes the view has checked that it fits the shape and the file.</param>
    /// <param name="owner">The object that owns the memory.</param>
    public Tensor(string name, ElementFormat format, ImmutableArray<long> shape, byte* pointer, long bytes, object? owner)
    {
        Name = name;
        Format = format;
        Shape = shape;
        Pointer = pointer;
        Bytes = bytes;
        _owner = owner;
    }

    /// <summary>Name in the file.</summary>
    public string Name { get; }

    /// <summary>Element format.</summary>
    public ElementFormat Format { get; }

    /// <summary>Dimensions, slowest first; empty for a scalar.</summary>
    public ImmutableArray<long> Shape { get; }

    /// <summary>First byte.</summary>
    public byte* Pointer { get; }

    /// <summary>Size in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Number of elements.</summary>
    public long Elements
    {
        get
        {
            long product = 1;
            foreach (long dimension in Shape) product = checked(product * dimension);
            return product;
        }
    }

    /// <summary>Rows when the tensor is seen as a matrix: every dimension but the last; 1 for a vector.</summary>
    public long Rows => Shape.Length < 2 ? 1 : Elements / Math.Max(1, Shape[^1]);

    /// <summary>Elements of a row.</summary>
    public long Columns => Shape.Length == 0 ? 1 : Shape[^1];

    /// <summary>Bytes of a row.</summary>
    public long RowBytes => Format.ByteCount(Columns);

    /// <summary>The shape as people read it: [576, 1536].</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";

    /// <summary>Who owns the memory.</summary>
    public object? Owner => _owner;

    /// <summary>The bytes as a span.</summary>
    /// <exception cref="OverflowException">The tensor has over 2 GiB; use <see cref="Pointer"/>.</exception>
    public ReadOnlySpan<byte> Span => new(Pointer, checked((int)Bytes));

    /// <summary>Tells the system that mapped bytes are not needed for now; reading them again brings them back.</summary>
    public void ReleasePages() => (_owner as MappedFile)?.Release(Pointer, Bytes);

    /// <summary>The same for the first rows of a matrix.</summary>
    /// <param name="rows">Number of rows.</param>
    public void ReleasePages(long rows) => (_owner as MappedFile)?.Release(Pointer, rows * RowBytes);

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Format} {ShapeText}";
}
