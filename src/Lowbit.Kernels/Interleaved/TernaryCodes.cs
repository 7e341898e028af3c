using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// Codes 0, 1, 2 at 1.625 bits. Two of them are a digit of base 9: byte k of pair i of a chunk is code[8 i + k] + 3 code[8 i + 4 + k].
/// A chunk has eight such pairs of steps and three vectors A, B, C, whose 16-bit numbers hold five digits each; those of the lower
/// and upper bytes of a pair, from pair 0 on: A0 A1, A2 A3, B0 B1, B2 B3, C0 C1, C2 C3, A4 B4. The upper bytes of the last pair are
/// C4, the lower ones nibbles of a vector that the four chunks of a group share.
/// </summary>
/// <remarks>
/// A number of 16 bits is the fraction 0.d₀d₁d₂d₃d₄ of base 9 times 2^16, rounded up: times 9^n modulo 2^16 drops the first n digits,
/// the upper half of the product with 9 is the next one.
/// </remarks>
internal static unsafe class TernaryCodes
{
    /// <summary>Bytes of a chunk.</summary>
    public const int ChunkBytes = 3 * IBlockFormat.Vector;

    private const int Digits = 5, Base = 9, Numbers = Base * Base * Base * Base * Base;

    private static Vector128<byte> Firsts
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0);
    }

    private static Vector128<byte> Seconds
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0);
    }

    /// <summary>Writes one row's bytes of a chunk.</summary>
    /// <param name="codes">[64].</param>
    /// <param name="position">Number of the chunk in its group.</param>
    /// <param name="lanes">The row's lane of the first vector; the next ones follow every 16.</param>
    /// <param name="shared">Its lane of the shared vector, to which its nibbles are added.</param>
    public static void Interleave(byte* codes, int position, uint* lanes, ref uint shared)
    {
        for (int vector = 0; vector < 3; vector++)
        {
            uint lane = 0;
            for (int number = 0; number < 2; number++)
            {
                int digits = 0;
                for (int d = 0; d < Digits - 1; d++) digits = Base * digits + Digit(codes, 2 * vector + d / 2, 2 * number + d % 2);
                digits = Base * digits + (vector == 2 ? Digit(codes, 7, 2 * number + 1) : Digit(codes, 6, 2 * number + vector));
                lane |= (uint)((((long)digits << 16) + Numbers - 1) / Numbers) << 16 * number;
            }
            lanes[IBlockFormat.Rows * vector] = lane;
        }
        for (int number = 0; number < 2; number++) shared |= (uint)Digit(codes, 7, 2 * number) << 16 * number + 4 * position;
    }

    /// <summary>The codes of two steps.</summary>
    /// <param name="chunk">The chunk, at the rows' lanes.</param>
    /// <param name="position">Its number in the group.</param>
    /// <param name="pair">Number of the pair in the chunk.</param>
    /// <param name="first">The codes of the first step.</param>
    /// <param name="second">Those of the second.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<TLanes, TVector>(byte* chunk, int position, int pair, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector digits;
        if (pair < 6)
        {
            TVector numbers = TLanes.Load(chunk + IBlockFormat.Vector * (pair / 2));
            digits = pair % 2 == 0 ? FirstDigits<TLanes, TVector>(numbers) : NextDigits<TLanes, TVector>(numbers);
        }
        else
        {
            digits = pair == 6 ? LastDigits<TLanes, TVector>(chunk) : SharedDigits<TLanes, TVector>(chunk, position);
        }
        first = TLanes.LookUp(TLanes.Table(Firsts), digits);
        second = TLanes.LookUp(TLanes.Table(Seconds), digits);
    }

    /// <summary>Σ q x over a chunk.</summary>
    /// <param name="chunk">The chunk, at the rows' lanes.</param>
    /// <param name="position">Its number in the group.</param>
    /// <param name="x">[64].</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Dot<TLanes, TVector>(byte* chunk, int position, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector sum = default;
        for (int vector = 0; vector < 3; vector++)
        {
            TVector numbers = TLanes.Load(chunk + IBlockFormat.Vector * vector);
            sum = Add<TLanes, TVector>(sum, FirstDigits<TLanes, TVector>(numbers), x + 16 * vector);
            sum = Add<TLanes, TVector>(sum, NextDigits<TLanes, TVector>(numbers), x + 16 * vector + 8);
        }
        sum = Add<TLanes, TVector>(sum, LastDigits<TLanes, TVector>(chunk), x + 48);
        sum = Add<TLanes, TVector>(sum, SharedDigits<TLanes, TVector>(chunk, position), x + 56);
        return TLanes.SumsAreWide ? sum : TLanes.Dot(sum, TLanes.Shorts(1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add<TLanes, TVector>(TVector sum, TVector digits, sbyte* x) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        sum = TLanes.AddProducts(sum, TLanes.LookUp(TLanes.Table(Firsts), digits), TLanes.Broadcast(x));
        return TLanes.AddProducts(sum, TLanes.LookUp(TLanes.Table(Seconds), digits), TLanes.Broadcast(x + 4));
    }

    // Digits 0 and 1 of the numbers of a vector.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector FirstDigits<TLanes, TVector>(TVector numbers) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        Merge<TLanes, TVector>(TLanes.MultiplyHigh(numbers, TLanes.Shorts(Base)), Upper<TLanes, TVector>(numbers, 9));

    // Digits 2 and 3.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector NextDigits<TLanes, TVector>(TVector numbers) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        Merge<TLanes, TVector>(Lower<TLanes, TVector>(numbers, 81), Upper<TLanes, TVector>(numbers, 729));

    // Digits 4 of A and B.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LastDigits<TLanes, TVector>(byte* chunk) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        Merge<TLanes, TVector>(Lower<TLanes, TVector>(TLanes.Load(chunk), 6561), Upper<TLanes, TVector>(TLanes.Load(chunk + IBlockFormat.Vector), 6561));

    // The shared nibbles and digits 4 of C.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector SharedDigits<TLanes, TVector>(byte* chunk, int position) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector shared = TLanes.Load(chunk - (nint)ChunkBytes * position - IBlockFormat.Vector);
        TVector upper = Upper<TLanes, TVector>(TLanes.Load(chunk + 2 * IBlockFormat.Vector), 6561);
        return Merge<TLanes, TVector>(TLanes.And(TLanes.ShiftShorts(shared, 4 * position), TLanes.Shorts(0xF)), upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Merge<TLanes, TVector>(TVector lower, TVector upper) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.Or(lower, TLanes.And(upper, TLanes.Shorts(unchecked((short)0xFF00))));

    private static int Digit(byte* codes, int pair, int column) => codes[8 * pair + column] + 3 * codes[8 * pair + 4 + column];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Lower<TLanes, TVector>(TVector numbers, short power) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.MultiplyHigh(TLanes.MultiplyShorts(numbers, TLanes.Shorts(power)), TLanes.Shorts(Base));

    // With what is left of the fraction in the lower bytes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Upper<TLanes, TVector>(TVector numbers, short power) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.MultiplyHigh(TLanes.MultiplyShorts(numbers, TLanes.Shorts(power)), TLanes.Shorts(Base << 8));
}
