using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The pairs or triples of integers that a code of 4 or 5 bits stands for: those nearest to the origin, as normal numbers come in tuples most often.
/// A square or a cube of as many leaves twice as many out. Integers are in the tables with an offset, so that none is negative.
/// </summary>
internal sealed class TupleTable
{
    private readonly byte[][] _integers; // [places of a tuple][codes]
    private readonly byte[] _codes; // pinned, of the tuples of integers in reach, the first one running fastest

    private TupleTable(int offset, Vector128<byte>[] lower, Vector128<byte>[] upper)
    {
        Offset = offset;
        _integers = new byte[lower.Length][];
        for (int place = 0; place < lower.Length; place++)
        {
            _integers[place] = new byte[upper.Length > 0 ? 32 : 16];
            lower[place].CopyTo(_integers[place]);
            if (upper.Length > 0) upper[place].CopyTo(_integers[place], 16);
        }
        Reach = Size == 2 ? 8 : 3;
        _codes = GC.AllocateArray<byte>(256, pinned: true);
        for (int index = 0; index < (Size == 2 ? 256 : 216); index++) _codes[index] = Find(index);
    }

    /// <summary>16 triples.</summary>
    public static TupleTable Triples4 { get; } = new(Triples4Offset, [Triples4First, Triples4Second, Triples4Third], []);

    /// <summary>32 triples.</summary>
    public static TupleTable Triples5 { get; } = new(Triples5Offset, [Triples5First, Triples5Second, Triples5Third], [Triples5UpperFirst, Triples5UpperSecond, Triples5UpperThird]);

    /// <summary>16 pairs.</summary>
    public static TupleTable Pairs4 { get; } = new(Pairs4Offset, [Pairs4First, Pairs4Second], []);

    /// <summary>32 pairs.</summary>
    public static TupleTable Pairs5 { get; } = new(Pairs5Offset, [Pairs5First, Pairs5Second], [Pairs5UpperFirst, Pairs5UpperSecond]);

    /// <summary>Integers of a tuple: two or three.</summary>
    public int Size => _integers.Length;

    /// <summary>Added to every integer.</summary>
    public int Offset { get; }

    /// <summary>Number of codes.</summary>
    public int Codes => _integers[0].Length;

    /// <summary>All tuples lie within integers of −<see cref="Reach"/> to <see cref="Reach"/> − 1.</summary>
    public int Reach { get; }

    /// <summary>
    /// [256] the code of the tuple nearest to another in the sum of distances, at Σ (integer i + <see cref="Reach"/>) · (2 <see cref="Reach"/>)^i of
    /// that one's integers, which are in reach.
    /// </summary>
    public unsafe byte* Nearest => (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_codes, 0);

    /// <summary>The integers at a place of many tuples, plus <see cref="Offset"/>.</summary>
    /// <param name="place">The place.</param>
    /// <param name="codes">[count].</param>
    /// <param name="count">A multiple of 16.</param>
    /// <param name="integers">[count], overwritten.</param>
    public unsafe void LookUp(int place, byte* codes, int count, byte* integers)
    {
        ref byte table = ref _integers[place][0];
        Vector128<byte> lower = Vector128.LoadUnsafe(ref table), upper = Vector128.LoadUnsafe(ref table, (nuint)(Codes - 16)), nibble = Vector128.Create((byte)15);
        for (int i = 0; i < count; i += Vector128<byte>.Count)
        {
            Vector128<byte> code = Vector128.Load(codes + i), rest = code & nibble;
            Vector128.ConditionalSelect(Vector128.GreaterThan(code, nibble), Vector128.Shuffle(upper, rest), Vector128.Shuffle(lower, rest)).Store(integers + i);
        }
    }

    /// <summary>An integer of a tuple.</summary>
    public int Integer(int place, int code) => _integers[place][code] - Offset;

    private byte Find(int index)
    {
        int least = int.MaxValue, nearest = 0;
        for (int code = 0; code < Codes; code++)
        {
            int distance = 0;
            for (int place = 0, rest = index; place < Size; place++, rest /= 2 * Reach) distance += Math.Abs(rest % (2 * Reach) - Reach - Integer(place, code));
            if (distance >= least) continue;
            least = distance;
            nearest = code;
        }
        return (byte)nearest;
    }

    // Vectors that are constants: products look codes up in them. Of tables with 32 codes these are the first 16, and "Upper" the others.
    private const int Triples4Offset = 1, Triples5Offset = 2, Pairs4Offset = 2, Pairs5Offset = 3;

    private static Vector128<byte> Triples4First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)1, 0, 1, 1, 1, 1, 2, 0, 0, 1, 1, 1, 2, 2, 2, 2);
    }

    private static Vector128<byte> Triples4Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)1, 1, 0, 1, 1, 2, 1, 1, 2, 0, 2, 2, 0, 1, 1, 2);
    }

    private static Vector128<byte> Triples4Third
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)1, 1, 1, 0, 2, 1, 1, 2, 1, 2, 0, 2, 1, 0, 2, 1);
    }

    private static Vector128<byte> Triples5First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 1, 2, 2, 2, 2, 3, 1, 1, 1, 1, 2, 2, 2, 2, 3);
    }

    private static Vector128<byte> Triples5UpperFirst
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)3, 3, 3, 1, 1, 1, 1, 3, 3, 3, 3, 0, 4, 2, 2, 2);
    }

    private static Vector128<byte> Triples5Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 2, 1, 2, 2, 3, 2, 1, 2, 2, 3, 1, 1, 3, 3, 1);
    }

    private static Vector128<byte> Triples5UpperSecond
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 2, 3, 1, 1, 3, 3, 1, 1, 3, 3, 2, 2, 0, 4, 2);
    }

    private static Vector128<byte> Triples5Third
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 2, 2, 1, 3, 2, 2, 2, 1, 3, 2, 1, 3, 1, 3, 2);
    }

    private static Vector128<byte> Triples5UpperThird
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)1, 3, 2, 1, 3, 1, 3, 1, 3, 1, 3, 2, 2, 2, 2, 4);
    }

    private static Vector128<byte> Pairs4First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 3, 2, 2, 1, 3, 3, 1, 1, 4, 2, 2, 0, 4, 3, 4);
    }

    private static Vector128<byte> Pairs4Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 2, 3, 1, 2, 3, 1, 3, 1, 2, 4, 0, 2, 3, 4, 1);
    }

    private static Vector128<byte> Pairs5First
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)3, 4, 3, 3, 2, 4, 4, 2, 2, 5, 3, 3, 1, 5, 4, 5);
    }

    private static Vector128<byte> Pairs5UpperFirst
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)2, 4, 1, 2, 1, 5, 5, 1, 1, 6, 3, 3, 0, 6, 4, 6);
    }

    private static Vector128<byte> Pairs5Second
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)3, 3, 4, 2, 3, 4, 2, 4, 2, 3, 5, 1, 3, 4, 5, 2);
    }

    private static Vector128<byte> Pairs5UpperSecond
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128.Create((byte)5, 1, 4, 1, 2, 5, 1, 5, 1, 3, 6, 0, 3, 4, 6, 2);
    }

    /// <summary>The integers of 16 triples, with their offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUpTriples4<TLanes, TVector>(TVector codes, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        first = TLanes.LookUp(TLanes.Table(Triples4First), codes);
        second = TLanes.LookUp(TLanes.Table(Triples4Second), codes);
        third = TLanes.LookUp(TLanes.Table(Triples4Third), codes);
    }

    /// <summary>The integers of 16 pairs, with their offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUpPairs4<TLanes, TVector>(TVector codes, out TVector first, out TVector second) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        first = TLanes.LookUp(TLanes.Table(Pairs4First), codes);
        second = TLanes.LookUp(TLanes.Table(Pairs4Second), codes);
    }

    /// <summary>The integers of 32 triples, with their offset.</summary>
    /// <param name="nibbles">The lower four bits of the codes.</param>
    /// <param name="fifths">Bit <paramref name="bit"/> of a byte is the fifth one of its code.</param>
    /// <param name="bit">Which bit.</param>
    /// <param name="first">Integers of the first columns.</param>
    /// <param name="second">Integers of the second ones.</param>
    /// <param name="third">Integers of the third ones.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUpTriples5<TLanes, TVector>(TVector nibbles, TVector fifths, int bit, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector codes = TLanes.FiveBits(nibbles, fifths, bit, out TVector isUpper);
        first = TLanes.LookUp(Triples5First, Triples5UpperFirst, codes, isUpper);
        second = TLanes.LookUp(Triples5Second, Triples5UpperSecond, codes, isUpper);
        third = TLanes.LookUp(Triples5Third, Triples5UpperThird, codes, isUpper);
    }

    /// <summary>The integers of 32 pairs, with their offset.</summary>
    /// <inheritdoc cref="LookUpTriples5"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LookUpPairs5<TLanes, TVector>(TVector nibbles, TVector fifths, int bit, out TVector first, out TVector second) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector codes = TLanes.FiveBits(nibbles, fifths, bit, out TVector isUpper);
        first = TLanes.LookUp(Pairs5First, Pairs5UpperFirst, codes, isUpper);
        second = TLanes.LookUp(Pairs5Second, Pairs5UpperSecond, codes, isUpper);
    }
}
