using System;

namespace Lowbit.Formats;

/// <summary>The one place that multiplies dimensions from files.</summary>
internal static class TensorSize
{
    /// <summary>Bytes of a tensor; false where a dimension is negative, a row is no whole number of blocks, or a product overflows.</summary>
    internal static bool TryCount(int blockLength, int blockBytes, ReadOnlySpan<long> shape, out long bytes)
    {
        bytes = 0;
        Int128 elements = 1;
        foreach (long dimension in shape)
        {
            elements *= dimension;
            // Every partial product must fit, since whoever multiplies later does it in the same order, in 64 bits.
            if (dimension < 0 || elements > long.MaxValue) return false;
        }
        long columns = shape.Length == 0 ? 1 : shape[^1];
        Int128 size = elements / blockLength * blockBytes;
        if (columns % blockLength != 0 || size > long.MaxValue) return false;
        bytes = (long)size;
        return true;
    }
}
