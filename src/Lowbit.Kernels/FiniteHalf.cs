using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels;

/// <summary>
/// Half precision without infinities and NaN, which become floats by a shift and a product. A half, sign-extended and moved up by 13 bits, has its
/// exponent and fraction where a float has them and its sign in the upper four bits; it then means a number 2^112 times too small, subnormal halves
/// included, which are exact but slow.
/// </summary>
internal static unsafe class FiniteHalf
{
    private const ushort ExponentMask = 0x7C00;
    private const int FractionBits = 10;

    /// <summary>What is left of the bits that were moved up.</summary>
    public const int Mask = unchecked((int)0x8FFF_E000);

    /// <summary>Bits of the float 2^112.</summary>
    public const int FactorBits = 127 + 112 << 23;

    /// <summary>2^112.</summary>
    public const float Factor = 5.192296858534828e33f;

    /// <summary>The number as a float, exactly.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToFloat(Half finite) => BitConverter.Int32BitsToSingle(BitConverter.HalfToInt16Bits(finite) << 13 & Mask) * Factor;

    /// <summary>Numbers, sign-extended, as floats, exactly.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToFloat(Vector256<int> finite) => (finite << 13 & Vector256.Create(Mask)).AsSingle() * Vector256.Create(Factor);

    /// <summary>The number times 2^<paramref name="exponent"/>, infinite where no half is as large.</summary>
    /// <param name="finite">The number.</param>
    /// <param name="exponent">From 0 to 15.</param>
    public static Half Enlarge(Half finite, int exponent)
    {
        int bits = BitConverter.HalfToUInt16Bits(finite), field = bits & ExponentMask, moved = field + (exponent << FractionBits);
        bool isNormal = field != 0 && moved < ExponentMask; // before and after
        return isNormal ? BitConverter.UInt16BitsToHalf((ushort)(bits + moved - field)) : (Half)(ToFloat(finite) * (1 << exponent));
    }

    /// <summary>Sixteen numbers in place of which their products with 2^<paramref name="exponent"/> come.</summary>
    /// <param name="finite">[16].</param>
    /// <param name="exponent">From 0 to 15.</param>
    /// <returns>Whether they are all finite.</returns>
    public static bool Enlarge(ushort* finite, int exponent)
    {
        Vector256<ushort> bits = Vector256.Load(finite), field = bits & Vector256.Create(ExponentMask), added = Vector256.Create((ushort)(exponent << FractionBits));
        Vector256<ushort> isNormal = Vector256.LessThan(field + added, Vector256.Create(ExponentMask)) & ~Vector256.Equals(field, default);
        Vector256<ushort> isZero = Vector256.Equals(bits << 1, default);
        if ((isNormal | isZero) == Vector256<ushort>.AllBitsSet)
        {
            (bits + (added & isNormal)).Store(finite);
            return true;
        }
        bool areFinite = true;
        for (int i = 0; i < Vector256<ushort>.Count; i++)
        {
            Half enlarged = Enlarge(BitConverter.UInt16BitsToHalf(finite[i]), exponent);
            areFinite &= Half.IsFinite(enlarged);
            finite[i] = BitConverter.HalfToUInt16Bits(enlarged);
        }
        return areFinite;
    }
}
