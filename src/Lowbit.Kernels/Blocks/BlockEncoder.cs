using System;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.Blocks.Encoding;

namespace Lowbit.Kernels.Blocks;

/// <summary>
/// Turns floats into the formats that matrices may be stored as. Scales of ggml's blocks are those of the least squared error that a
/// search finds; Q8_0 takes the largest weight as ggml does.
/// </summary>
public static class BlockEncoder
{
    /// <summary>The formats.</summary>
    public static ImmutableArray<ElementFormat> Formats { get; } =
    [
        ElementFormat.F32, ElementFormat.F16, ElementFormat.Q8_0, ElementFormat.Q6_K, ElementFormat.Q5_K, ElementFormat.Q5_1, ElementFormat.Q5_0, ElementFormat.Q4_K,
        ElementFormat.Q4_1, ElementFormat.Q4_0, ElementFormat.IQ4_NL, ElementFormat.MXFP4, ElementFormat.Q3_K, ElementFormat.Q2_K, ElementFormat.TQ2_0, ElementFormat.TQ1_0,
    ];

    /// <summary>
    /// The format itself where rows are whole blocks of it, else what llama.cpp takes in its place: one with blocks of 32, or F16.
    /// </summary>
    /// <param name="format">What was asked for.</param>
    /// <param name="columns">Length of a row.</param>
    public static ElementFormat ForRows(ElementFormat format, long columns)
    {
        if (columns % format.BlockLength() == 0) return format;
        ElementFormat fallback = format switch
        {
            ElementFormat.Q2_K or ElementFormat.Q3_K => ElementFormat.IQ4_NL,
            ElementFormat.Q4_K => ElementFormat.Q5_0,
            ElementFormat.Q5_K => ElementFormat.Q5_1,
            ElementFormat.Q6_K => ElementFormat.Q8_0,
            ElementFormat.TQ1_0 or ElementFormat.TQ2_0 => ElementFormat.Q4_0,
            _ => format,
        };
        return columns % fallback.BlockLength() == 0 ? fallback : ElementFormat.F16;
    }

    /// <summary>Encodes one row.</summary>
    /// <param name="format">One of <see cref="Formats"/>.</param>
    /// <param name="row">Floats, a whole number of blocks.</param>
    /// <param name="destination">The row's bytes.</param>
    /// <param name="importance">How much the squared error of each weight counts, above zero; empty where all count the same.</param>
    /// <exception cref="LowbitException">A number does not fit the format.</exception>
    public static void FromFloat(ElementFormat format, ReadOnlySpan<float> row, Span<byte> destination, ReadOnlySpan<float> importance = default)
    {
        switch (format)
        {
            case ElementFormat.F32: MemoryMarshal.AsBytes(row).CopyTo(destination); break;
            case ElementFormat.F16: Halves(row, MemoryMarshal.Cast<byte, Half>(destination)); break;
            case ElementFormat.Q8_0: Encode<BlockQ8_0>(row, importance, destination, static (x, _, ref block) => UniformBlockEncoder.Q8_0(x, ref block)); break;
            case ElementFormat.Q4_0: Encode<BlockQ4_0>(row, importance, destination, UniformBlockEncoder.Q4_0); break;
            case ElementFormat.Q4_1: Encode<BlockQ4_1>(row, importance, destination, UniformBlockEncoder.Q4_1); break;
            case ElementFormat.Q5_0: Encode<BlockQ5_0>(row, importance, destination, UniformBlockEncoder.Q5_0); break;
            case ElementFormat.Q5_1: Encode<BlockQ5_1>(row, importance, destination, UniformBlockEncoder.Q5_1); break;
            case ElementFormat.IQ4_NL: Encode<BlockIQ4_NL>(row, importance, destination, TableBlockEncoder.IQ4_NL); break;
            case ElementFormat.MXFP4: Encode<BlockMXFP4>(row, importance, destination, TableBlockEncoder.MXFP4); break;
            case ElementFormat.Q2_K: Encode<BlockQ2_K>(row, importance, destination, SuperBlockEncoder.Q2_K); break;
            case ElementFormat.Q3_K: Encode<BlockQ3_K>(row, importance, destination, SuperBlockEncoder.Q3_K); break;
            case ElementFormat.Q4_K: Encode<BlockQ4_K>(row, importance, destination, SuperBlockEncoder.Q4_K); break;
            case ElementFormat.Q5_K: Encode<BlockQ5_K>(row, importance, destination, SuperBlockEncoder.Q5_K); break;
            case ElementFormat.Q6_K: Encode<BlockQ6_K>(row, importance, destination, SuperBlockEncoder.Q6_K); break;
            case ElementFormat.TQ1_0: Encode<BlockTQ1_0>(row, importance, destination, TernaryBlockEncoder.TQ1_0); break;
            case ElementFormat.TQ2_0: Encode<BlockTQ2_0>(row, importance, destination, TernaryBlockEncoder.TQ2_0); break;
            default: throw new ArgumentOutOfRangeException(nameof(format), format, $"floats can be encoded as {string.Join(", ", Formats)}");
        }
    }

    private delegate void BlockAction<TBlock>(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref TBlock block);

    private static void Encode<TBlock>(ReadOnlySpan<float> row, ReadOnlySpan<float> importance, Span<byte> destination, BlockAction<TBlock> encode) where TBlock : unmanaged
    {
        Span<TBlock> blocks = MemoryMarshal.Cast<byte, TBlock>(destination);
        int length = row.Length / blocks.Length;
        Span<float> equal = stackalloc float[length];
        equal.Fill(1);
        for (int b = 0; b < blocks.Length; b++)
        {
            ReadOnlySpan<float> x = row.Slice(b * length, length);
            foreach (float value in x)
                if (!float.IsFinite(value)) throw new LowbitException($"a weight is {value}, a finite number was expected; the model is damaged.");
            encode(x, importance.IsEmpty ? equal : importance.Slice(b * length, length), ref blocks[b]);
        }
    }

    private static void Halves(ReadOnlySpan<float> row, Span<Half> destination)
    {
        for (int i = 0; i < row.Length; i++)
        {
            destination[i] = (Half)row[i];
            if (!Half.IsFinite(destination[i])) throw new LowbitException($"the number {row[i]} does not fit half precision (at most 65504); store the matrix as it is.");
        }
    }
}
