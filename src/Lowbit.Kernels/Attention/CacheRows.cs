using System;
using System.Collections.Immutable;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels;

/// <summary>
/// The keys or the values of a block of a model, [positions, columns] in memory that another owns. Rows come and go as floats;
/// in between they lie as floats, halves, or ggml's blocks of 32.
/// </summary>
/// <param name="Pointer">The first row.</param>
/// <param name="Format">One of <see cref="Formats"/>.</param>
/// <param name="Columns">Elements of a row, key-value heads times elements of a head; whole blocks.</param>
public readonly unsafe record struct CacheRows(nint Pointer, ElementFormat Format, int Columns)
{
    /// <summary>What rows may be stored as.</summary>
    public static ImmutableArray<ElementFormat> Formats { get; } = [ElementFormat.F32, ElementFormat.F16, ElementFormat.Q8_0, ElementFormat.Q4_0];

    /// <summary>Rows of floats.</summary>
    /// <param name="rows">The first row.</param>
    /// <param name="columns">Elements of a row.</param>
    public CacheRows(float* rows, int columns) : this((nint)rows, ElementFormat.F32, columns) { }

    /// <summary>Stores rows. An element that is not finite makes its block NaN.</summary>
    /// <param name="position">Of the first.</param>
    /// <param name="rows">[count, columns].</param>
    /// <param name="count">Rows.</param>
    public void Write(int position, float* rows, int count)
    {
        byte* target = Row(position);
        long elements = (long)count * Columns, blocks = elements / Format.BlockLength();
        switch (Format)
        {
            case ElementFormat.F16:
                long i = 0;
                if (Vector128.IsHardwareAccelerated)
                    for (; i <= elements - 8; i += 8) CacheEncoding.Halves(rows + i, (ushort*)target + i);
                for (; i < elements; i++) ((Half*)target)[i] = (Half)rows[i];
                break;
            case ElementFormat.Q8_0:
                for (long b = 0; b < blocks; b++) CacheEncoding.Q8_0(rows + 32 * b, (BlockQ8_0*)target + b);
                break;
            case ElementFormat.Q4_0:
                for (long b = 0; b < blocks; b++) CacheEncoding.Q4_0(rows + 32 * b, (BlockQ4_0*)target + b);
                break;
            default:
                throw new InvalidOperationException($"rows of {Format} are written in their place");
        }
    }

    /// <summary>A row in its place, of a cache of floats.</summary>
    /// <param name="position">Which.</param>
    public float* Floats(int position) => (float*)Row(position);

    /// <summary>Floats of <see cref="Read"/> for every row, for a head of so many elements.</summary>
    internal static int Room(int headDim) => headDim + 64;

    /// <summary>The elements of one head as floats: where they lie, or expanded.</summary>
    /// <param name="position">First row.</param>
    /// <param name="count">Rows.</param>
    /// <param name="first">First element.</param>
    /// <param name="length">Elements.</param>
    /// <param name="room">[count, <see cref="Room"/>], for rows that are not floats.</param>
    /// <param name="stride">Distance of the rows of the result.</param>
    internal float* Read(int position, int count, int first, int length, float* room, out long stride)
    {
        byte* row = Row(position);
        stride = Columns;
        if (Format == ElementFormat.F32) return (float*)row + first;
        // Heads may begin and end within a block.
        int block = Format.BlockLength(), start = first / block * block, end = (first + length + block - 1) / block * block;
        long rowBytes = Format.ByteCount(Columns), offset = Format.ByteCount(start);
        stride = end - start;
        for (int i = 0; i < count; i++) Dequantizer.ToFloat(Format, row + i * rowBytes + offset, stride, room + i * stride);
        return room + (first - start);
    }

    /// <summary>
    /// Has memory send elements that are read soon; those beyond the end are allowed. Does nothing for blocks: they are
    /// expanded one after the other, which the processor foresees.
    /// </summary>
    /// <param name="position">A row.</param>
    /// <param name="first">Number of the first element, counted from the beginning of that row on.</param>
    /// <param name="count">Elements.</param>
    internal void Prefetch(int position, int first, int count)
    {
        if (!Sse.IsSupported || Format.BlockLength() != 1) return;
        byte* elements = Row(position) + Format.ByteCount(first);
        for (long i = 0, bytes = Format.ByteCount(count); i < bytes; i += 64) Sse.Prefetch0(elements + i);
    }

    private byte* Row(int position) => (byte*)Pointer + position * Format.ByteCount(Columns);
}
