using System.Collections.Generic;

namespace Lowbit.Kernels;

/// <summary>
/// The widest vectors that products with packed weights take. Left alone, they are the processor's; narrower ones are for comparing kernels on
/// one machine. It holds for the whole process, and changes while nothing computes.
/// </summary>
public static class VectorLimit
{
    /// <summary>Width in bits: 512 for all that there is, 256, 128, or 0 for code without vectors, which is the oracle of most formats.</summary>
    public static int Bits { get; set; } = 512;

    /// <summary>The widths in bits of some kernels, the widest first; the code without vectors, 0, is always there.</summary>
    internal static IReadOnlyList<int> Widths(bool has512, bool has256, bool has128 = false)
    {
        List<int> widths = [];
        if (has512) widths.Add(512);
        if (has256) widths.Add(256);
        if (has128) widths.Add(128);
        widths.Add(0);
        return widths;
    }
}
