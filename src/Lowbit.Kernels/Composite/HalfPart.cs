using System;
using System.Buffers.Binary;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels.Composite;

/// <summary>Parts of numbers in half precision, which methods have rounded already.</summary>
public static class HalfPart
{
    /// <summary>Packs numbers.</summary>
    /// <param name="suffix">Ending of the part's name.</param>
    /// <param name="values">Numbers that half precision holds exactly.</param>
    /// <param name="shape">Dimensions.</param>
    /// <exception cref="LowbitException">Half precision does not hold a number.</exception>
    public static PackedPart Of(string suffix, ReadOnlySpan<float> values, ImmutableArray<long> shape)
    {
        byte[] bytes = new byte[2L * values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            Half half = (Half)values[i];
            if (!Half.IsFinite(half) || (float)half != values[i])
                throw new LowbitException($"the matrix to pack: element {i} of {suffix} is {values[i]}, which half precision does not hold; the method that made it has to round.");
            BinaryPrimitives.WriteHalfLittleEndian(bytes.AsSpan(2 * i), half);
        }
        return new PackedPart(suffix, ElementFormat.F16, shape, bytes);
    }
}
