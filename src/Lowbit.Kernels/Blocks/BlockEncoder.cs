using System;
using System.Buffers.Binary;
using Lowbit.Core;

namespace Lowbit.Kernels.Blocks;

/// <summary>Turns floats into the formats that embeddings may be stored as.</summary>
public static class BlockEncoder
{
    private const int Q8_0Length = 32;

    /// <summary>Encodes one row.</summary>
    /// <param name="format">F32, F16 or Q8_0.</param>
    /// <param name="row">Floats, a whole number of blocks.</param>
    /// <param name="destination">The row's bytes.</param>
    /// <exception cref="LowbitException">A number does not fit the format.</exception>
    public static void FromFloat(ElementFormat format, ReadOnlySpan<float> row, Span<byte> destination)
    {
        switch (format)
        {
            case ElementFormat.F32:
                for (int i = 0; i < row.Length; i++) BinaryPrimitives.WriteSingleLittleEndian(destination[(4 * i)..], row[i]);
                break;
            case ElementFormat.F16:
                for (int i = 0; i < row.Length; i++) BinaryPrimitives.WriteHalfLittleEndian(destination[(2 * i)..], Finite((Half)row[i], row[i]));
                break;
            case ElementFormat.Q8_0:
                ToQ8_0(row, destination);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(format), format, "floats can be encoded as F32, F16 and Q8_0");
        }
    }

    // d = max|x| / 127, q = round(x / d), halves away from zero, as ggml's quantize_row_q8_0_ref has it.
    private static void ToQ8_0(ReadOnlySpan<float> row, Span<byte> destination)
    {
        for (int block = 0; block * Q8_0Length < row.Length; block++)
        {
            ReadOnlySpan<float> x = row.Slice(block * Q8_0Length, Q8_0Length);
            Span<byte> bytes = destination.Slice(block * ElementFormat.Q8_0.BlockBytes(), ElementFormat.Q8_0.BlockBytes());
            float largest = 0;
            foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
            float scale = largest / 127, inverse = scale == 0 ? 0 : 1 / scale;
            BinaryPrimitives.WriteHalfLittleEndian(bytes, Finite((Half)scale, scale));
            for (int i = 0; i < Q8_0Length; i++) bytes[2 + i] = (byte)(sbyte)MathF.Round(x[i] * inverse, MidpointRounding.AwayFromZero);
        }
    }

    private static Half Finite(Half half, float value) => Half.IsFinite(half) ? half
        : throw new LowbitException($"the number {value} does not fit half precision (at most 65504); store the embeddings as they are with --embeddings keep.");
}
