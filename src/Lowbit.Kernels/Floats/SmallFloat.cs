using System;
using System.Collections.Immutable;

namespace Lowbit.Kernels.Floats;

/// <summary>
/// A number of 4, 6 or 8 bits as the Open Compute Project defines it (Microscaling Formats 1.0; 8-bit Floating Point 1.0):
/// sign, exponent, fraction, with subnormals; or an integer over 64.
/// </summary>
/// <param name="Name">As files and the command line have it.</param>
/// <param name="ExponentBits">Bits of the exponent; 0 for the integer, whose 8 bits are in two's complement.</param>
/// <param name="FractionBits">Bits of the fraction.</param>
/// <param name="Bias">Taken from the exponent.</param>
/// <param name="Largest">Largest number.</param>
public sealed record SmallFloat(string Name, int ExponentBits, int FractionBits, int Bias, float Largest)
{
    /// <summary>0, 0.5, 1, 1.5, 2, 3, 4, 6.</summary>
    public static SmallFloat E2M1 { get; } = new("e2m1", 2, 1, 1, 6);

    /// <summary>Up to 7.5 in steps of 0.125 and more.</summary>
    public static SmallFloat E2M3 { get; } = new("e2m3", 2, 3, 1, 7.5f);

    /// <summary>Up to 28.</summary>
    public static SmallFloat E3M2 { get; } = new("e3m2", 3, 2, 3, 28);

    /// <summary>Up to 448; all ones after the sign are NaN, there is no infinity.</summary>
    public static SmallFloat E4M3 { get; } = new("e4m3", 4, 3, 7, 448);

    /// <summary>Up to 57344; the largest exponent means infinity and NaN.</summary>
    public static SmallFloat E5M2 { get; } = new("e5m2", 5, 2, 15, 57344);

    /// <summary>−127/64 to 127/64; the code of −2 is read but not written.</summary>
    public static SmallFloat Int8 { get; } = new("int8", 0, 6, 0, 127 / 64f);

    /// <summary>All formats.</summary>
    public static ImmutableArray<SmallFloat> All { get; } = [E2M1, E2M3, E3M2, E4M3, E5M2, Int8];

    /// <summary>Bits of a number.</summary>
    public int Bits => ExponentBits == 0 ? 8 : 1 + ExponentBits + FractionBits;

    /// <summary>Exponent of the largest number: floor(log₂ <see cref="Largest"/>).</summary>
    public int LargestExponent => (int)MathF.Floor(MathF.Log2(Largest));

    /// <summary>The number of a code; NaN or an infinity where the format has them.</summary>
    public float Decode(int code)
    {
        if (ExponentBits == 0) return (sbyte)code / 64f;
        int exponent = code >> FractionBits & (1 << ExponentBits) - 1, fraction = code & (1 << FractionBits) - 1;
        bool top = exponent == (1 << ExponentBits) - 1;
        float size = ExponentBits == 5 && top ? fraction == 0 ? float.PositiveInfinity : float.NaN
            : ExponentBits == 4 && top && fraction == 7 ? float.NaN
            : exponent == 0 ? MathF.ScaleB(fraction, 1 - Bias - FractionBits)
            : MathF.ScaleB((1 << FractionBits) + fraction, exponent - Bias - FractionBits);
        return code >> Bits - 1 != 0 ? -size : size;
    }

    /// <summary>The code of the nearest number, of two equally near ones the even code; what is larger than the largest becomes the largest.</summary>
    /// <param name="value">A finite number.</param>
    public int Encode(float value)
    {
        if (ExponentBits == 0) return (byte)(sbyte)Math.Clamp(MathF.Round(value * 64), -127, 127);
        float size = MathF.Min(MathF.Abs(value), Largest);
        int smallest = 1 - Bias, exponent = size == 0 ? smallest : Math.Max(smallest, Math.ILogB(size));
        // In units of the last place of this exponent; 2 · 2^m of them are the next power of two, whose code follows by itself.
        int units = (int)MathF.Round(MathF.ScaleB(size, FractionBits - exponent));
        int code = (exponent - smallest << FractionBits) + units;
        return float.IsNegative(value) && code != 0 ? code | 1 << Bits - 1 : code;
    }
}
