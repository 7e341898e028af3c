using System;
using System.Buffers.Binary;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>One tensor of a packed matrix, ready to be written.</summary>
/// <param name="Suffix">What is appended to the name of the matrix, such as <c>u_codes</c>.</param>
/// <param name="Format">Element format.</param>
/// <param name="Shape">Dimensions, slowest first.</param>
/// <param name="Bytes">Content.</param>
public sealed record PackedPart(string Suffix, ElementFormat Format, ImmutableArray<long> Shape, byte[] Bytes)
{
    /// <summary>The bytes of finite numbers in one of two precisions.</summary>
    /// <param name="what">What they are, for messages.</param>
    /// <param name="values">The numbers.</param>
    /// <param name="format">F16 or F32.</param>
    /// <exception cref="LowbitException">A number is not finite in that precision.</exception>
    internal static byte[] Numbers(string what, float[] values, ElementFormat format)
    {
        byte[] bytes = new byte[format.ByteCount(values.Length)];
        for (int i = 0; i < values.Length; i++)
        {
            bool finite = format == ElementFormat.F32 ? float.IsFinite(values[i]) : Half.IsFinite((Half)values[i]);
            if (!finite) throw new LowbitException($"the matrix to pack: element {i} of {what} is {values[i]}, which is no finite {format}; use F32 scales or look for the fault in the weight.");
            if (format == ElementFormat.F32) BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(4 * i), values[i]);
            else BinaryPrimitives.WriteHalfLittleEndian(bytes.AsSpan(2 * i), (Half)values[i]);
        }
        return bytes;
    }
}
