using System;
using Lowbit.Core;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>Scales of blocks in half precision.</summary>
internal static class HalfScale
{
    /// <summary>The nearest half.</summary>
    /// <exception cref="LowbitException">The number is larger than the largest half.</exception>
    public static Half Round(float value)
    {
        Half half = (Half)value;
        return Half.IsFinite(half) ? half
            : throw new LowbitException($"the scale {value} does not fit half precision (at most 65504); store these weights as F32.");
    }
}
