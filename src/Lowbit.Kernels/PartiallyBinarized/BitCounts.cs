using System.Numerics;
using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Numbers of bits in the form in which kernels hold the sums all, both and high of <see cref="IEightBitProduct"/>.</summary>
internal static unsafe class BitCounts
{
    /// <summary>
    /// The sums for activations that are all 1, in fields of 16 bits: all, both, nothing, high. Kernels add up activations
    /// + 128, which are never negative, and take 128 times these off.
    /// </summary>
    /// <param name="salient">The word of the bitmap.</param>
    /// <param name="low">The word of the first low plane.</param>
    /// <param name="words">Words from one plane to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Fields<TPlanes>(ulong salient, ulong* low, long words) where TPlanes : struct, ILowPlanes
    {
        ulong fields = (ulong)BitOperations.PopCount(salient) << 48;
        if (TPlanes.Count > 0) fields += Plane(salient, *low);
        if (TPlanes.Count > 1) fields += Plane(salient, low[words]) << 1;
        return fields;
    }

    private static ulong Plane(ulong salient, ulong bits) =>
        (uint)BitOperations.PopCount(bits) + ((ulong)(uint)BitOperations.PopCount(bits & salient) << 16);
}
