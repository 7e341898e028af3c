using System;

namespace Lowbit.Kernels.Levels;

/// <summary>Products of a row with a token.</summary>
internal unsafe interface ILevelDot
{
    /// <summary>[64] the columns of a run in the order of the activations that the kernel takes.</summary>
    static abstract ReadOnlySpan<byte> Order { get; }

    /// <summary>The same for rows that are paired.</summary>
    static abstract ReadOnlySpan<byte> PairedOrder { get; }

    /// <summary>Σ_c x[c] · level(code[c]) · scale(c); NaN where a code is no number.</summary>
    /// <param name="kind">How levels are found.</param>
    /// <param name="row">The row.</param>
    /// <param name="x">[runs · 64] activations in the kernel's order.</param>
    static abstract float Run(LevelKind kind, in LevelRow row, float* x);
}

/// <summary>
/// The order of activations for vectors of 4 · width bytes of codes, of which each 32-bit lane gives four levels, the lowest byte
/// first: element w j + k of such a part is byte 4 k + j of the codes.
/// </summary>
internal static class LevelOrder
{
    /// <summary>The columns in that order.</summary>
    /// <param name="width">Lanes of a vector.</param>
    /// <param name="paired">Whether byte i of the unpacked codes is not column i, but 2 i + 1 below 32 and 2 (i − 32) from there on.</param>
    public static byte[] Make(int width, bool paired)
    {
        byte[] order = new byte[LevelRow.RunLength];
        for (int i = 0; i < order.Length; i++)
        {
            int part = i / (4 * width), at = 4 * width * part + 4 * (i % width) + i % (4 * width) / width;
            order[i] = (byte)(!paired ? at : at < 32 ? 2 * at + 1 : 2 * (at - 32));
        }
        return order;
    }
}
