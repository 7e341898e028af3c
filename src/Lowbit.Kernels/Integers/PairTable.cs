using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The pairs of integers that a code of 4 or 5 bits stands for: those nearest to the origin, as normal numbers come in pairs most often. A square
/// of as many pairs leaves twice as many out. Integers are in the tables with an offset, so that none is negative.
/// </summary>
internal static class PairTable
{
    /// <summary>Added to every integer of 4 bits a pair.</summary>
    public const int Offset4 = 2;

    /// <summary>Added to every integer of 5 bits a pair.</summary>
    public const int Offset5 = 3;

    private const int Reach = 8; // all pairs of the tables are within

    private static readonly byte[] s_nearest4 = Nearest(16, First4, Second4, Offset4), s_nearest5 = Nearest(32, First5, Second5, Offset5);

    /// <summary>Integers of code 0, 1 ... of 4 bits, plus the offset.</summary>
    public static ReadOnlySpan<byte> First4 => [2, 3, 2, 2, 1, 3, 3, 1, 1, 4, 2, 2, 0, 4, 3, 4];

    /// <inheritdoc cref="First4"/>
    public static ReadOnlySpan<byte> Second4 => [2, 2, 3, 1, 2, 3, 1, 3, 1, 2, 4, 0, 2, 3, 4, 1];

    /// <summary>Integers of code 0, 1 ... of 5 bits, plus the offset.</summary>
    public static ReadOnlySpan<byte> First5 => [3, 4, 3, 3, 2, 4, 4, 2, 2, 5, 3, 3, 1, 5, 4, 5, 2, 4, 1, 2, 1, 5, 5, 1, 1, 6, 3, 3, 0, 6, 4, 6];

    /// <inheritdoc cref="First5"/>
    public static ReadOnlySpan<byte> Second5 => [3, 3, 4, 2, 3, 4, 2, 4, 2, 3, 5, 1, 3, 4, 5, 2, 5, 1, 4, 1, 2, 5, 1, 5, 1, 3, 6, 0, 3, 4, 6, 2];

    private static Vector128<byte> Table4First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 3, 2, 2, 1, 3, 3, 1, 1, 4, 2, 2, 0, 4, 3, 4);
    }

    private static Vector128<byte> Table4Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 2, 3, 1, 2, 3, 1, 3, 1, 2, 4, 0, 2, 3, 4, 1);
    }

    private static Vector128<byte> Lower5First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)3, 4, 3, 3, 2, 4, 4, 2, 2, 5, 3, 3, 1, 5, 4, 5);
    }

    private static Vector128<byte> Lower5Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)3, 3, 4, 2, 3, 4, 2, 4, 2, 3, 5, 1, 3, 4, 5, 2);
    }

    private static Vector128<byte> Upper5First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 4, 1, 2, 1, 5, 5, 1, 1, 6, 3, 3, 0, 6, 4, 6);
    }

    private static Vector128<byte> Upper5Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)5, 1, 4, 1, 2, 5, 1, 5, 1, 3, 6, 0, 3, 4, 6, 2);
    }

    /// <summary>The code of 4 bits that is nearest to a pair, in the sum of the two distances.</summary>
    public static int Nearest4(int first, int second) => s_nearest4[Index(first, second)];

    /// <summary>The code of 5 bits that is nearest to a pair.</summary>
    public static int Nearest5(int first, int second) => s_nearest5[Index(first, second)];

    /// <summary>The integers of codes of 4 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUp4<TLanes, TVector>(TVector codes, out TVector first, out TVector second) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        first = TLanes.LookUp(TLanes.Table(Table4First), codes);
        second = TLanes.LookUp(TLanes.Table(Table4Second), codes);
    }

    /// <summary>The integers of codes of 5 bits.</summary>
    /// <param name="nibbles">The lower four bits of the codes.</param>
    /// <param name="fifths">Bit <paramref name="bit"/> of a byte is the fifth one of its code.</param>
    /// <param name="bit">Which bit.</param>
    /// <param name="first">Integers of the first columns.</param>
    /// <param name="second">Integers of the second ones.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUp5<TLanes, TVector>(TVector nibbles, TVector fifths, int bit, out TVector first, out TVector second) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        if (typeof(TVector) == typeof(Vector512<byte>) && Avx512Vbmi.IsSupported)
        {
            // A permutation of 64 bytes looks at six bits only: the table is there twice.
            Vector512<byte> codes = (Vector512<byte>)(object)TLanes.Or(nibbles, bit <= 4 ? TLanes.UpperBits(fifths, 4 - bit, 0x10) : TLanes.Bits(fifths, bit - 4, 0x10));
            first = (TVector)(object)Avx512Vbmi.PermuteVar64x8(Twice(Lower5First, Upper5First), codes);
            second = (TVector)(object)Avx512Vbmi.PermuteVar64x8(Twice(Lower5Second, Upper5Second), codes);
            return;
        }
        TVector isUpper = TLanes.UpperBits(fifths, 7 - bit, byte.MaxValue);
        first = TLanes.Choose(isUpper, TLanes.LookUp(TLanes.Table(Upper5First), nibbles), TLanes.LookUp(TLanes.Table(Lower5First), nibbles));
        second = TLanes.Choose(isUpper, TLanes.LookUp(TLanes.Table(Upper5Second), nibbles), TLanes.LookUp(TLanes.Table(Lower5Second), nibbles));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Twice(Vector128<byte> lower, Vector128<byte> upper)
    {
        // Of constants this is one, which joining vectors is not.
        ulong a = lower.AsUInt64().GetElement(0), b = lower.AsUInt64().GetElement(1), c = upper.AsUInt64().GetElement(0), d = upper.AsUInt64().GetElement(1);
        return Vector512.Create(a, b, c, d, a, b, c, d).AsByte();
    }

    private static int Index(int first, int second) => 2 * Reach * (Math.Clamp(first, -Reach, Reach - 1) + Reach) + Math.Clamp(second, -Reach, Reach - 1) + Reach;

    private static byte[] Nearest(int codes, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, int offset)
    {
        byte[] nearest = new byte[4 * Reach * Reach];
        for (int a = -Reach; a < Reach; a++)
            for (int b = -Reach; b < Reach; b++)
            {
                int least = int.MaxValue;
                for (int code = 0; code < codes; code++)
                {
                    int distance = Math.Abs(a - first[code] + offset) + Math.Abs(b - second[code] + offset);
                    if (distance >= least) continue;
                    least = distance;
                    nearest[Index(a, b)] = (byte)code;
                }
            }
        return nearest;
    }
}
