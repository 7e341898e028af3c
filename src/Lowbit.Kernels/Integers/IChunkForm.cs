using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Integers;

/// <summary>The codes of a chunk in vectors; <see cref="ChunkForms"/> says how they lie.</summary>
internal interface IChunkForm
{
    /// <summary>Vectors of a chunk.</summary>
    static abstract int Vectors { get; }

    /// <summary>Steps of a group: two or three.</summary>
    static virtual int Steps => 2;

    /// <summary>The largest code.</summary>
    static abstract int Largest { get; }

    /// <summary>The codes of the steps of a group.</summary>
    /// <param name="chunk">The chunk, from the rows of the vector on.</param>
    /// <param name="n">The group, 0 to 7.</param>
    /// <param name="first">Codes of the first step.</param>
    /// <param name="second">Codes of the second one.</param>
    /// <param name="third">Codes of the third one, if there is one.</param>
    static abstract unsafe void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct;
}

/// <inheritdoc cref="ChunkForm.Triples4"/>
internal readonly unsafe struct Triples4Form : IChunkForm
{
    public static int Vectors => 4;
    public static int Steps => 3;
    public static int Largest => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TupleTable.LookUpTriples4<TLanes, TVector>(FormBits<TLanes, TVector>.Nibbles(chunk, n), out first, out second, out third);
}

/// <inheritdoc cref="ChunkForm.Triples5"/>
internal readonly unsafe struct Triples5Form : IChunkForm
{
    public static int Vectors => 5;
    public static int Steps => 3;
    public static int Largest => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TupleTable.LookUpTriples5<TLanes, TVector>(FormBits<TLanes, TVector>.Nibbles(chunk, n), TLanes.Load(chunk + 4 * IBlockFormat.Vector), n, out first, out second, out third);
}

/// <inheritdoc cref="ChunkForm.Pairs4"/>
internal readonly unsafe struct Pairs4Form : IChunkForm
{
    public static int Vectors => 4;
    public static int Largest => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        third = default;
        TupleTable.LookUpPairs4<TLanes, TVector>(FormBits<TLanes, TVector>.Nibbles(chunk, n), out first, out second);
    }
}

/// <inheritdoc cref="ChunkForm.Pairs5"/>
internal readonly unsafe struct Pairs5Form : IChunkForm
{
    public static int Vectors => 5;
    public static int Largest => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        third = default;
        TupleTable.LookUpPairs5<TLanes, TVector>(FormBits<TLanes, TVector>.Nibbles(chunk, n), TLanes.Load(chunk + 4 * IBlockFormat.Vector), n, out first, out second);
    }
}

/// <inheritdoc cref="ChunkForm.Bits3"/>
internal readonly unsafe struct Bits3Form : IChunkForm
{
    public static int Vectors => 6;
    public static int Largest => 7;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        third = default;
        TVector two = TLanes.Load(chunk + n / 2 * IBlockFormat.Vector), upper = TLanes.Load(chunk + (4 + n / 4) * IBlockFormat.Vector);
        first = TLanes.Or(TLanes.Bits(two, n % 2 * 4, 3), FormBits<TLanes, TVector>.Bit(upper, 2 * n % 8, 2));
        second = TLanes.Or(TLanes.Bits(two, n % 2 * 4 + 2, 3), FormBits<TLanes, TVector>.Bit(upper, 2 * n % 8 + 1, 2));
    }
}

/// <inheritdoc cref="ChunkForm.Bits4"/>
internal readonly unsafe struct Bits4Form : IChunkForm
{
    public static int Vectors => 8;
    public static int Largest => 15;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        third = default;
        TVector both = TLanes.Load(chunk + n * IBlockFormat.Vector);
        first = TLanes.Bits(both, 0, 15);
        second = TLanes.Bits(both, 4, 15);
    }
}

/// <inheritdoc cref="ChunkForm.Bits5"/>
internal readonly unsafe struct Bits5Form : IChunkForm
{
    public static int Vectors => 10;
    public static int Largest => 31;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        TVector fifth = TLanes.Load(chunk + (8 + n / 4) * IBlockFormat.Vector);
        Bits4Form.Codes<TLanes, TVector>(chunk, n, out first, out second, out third);
        first = TLanes.Or(first, FormBits<TLanes, TVector>.Bit(fifth, 2 * n % 8, 4));
        second = TLanes.Or(second, FormBits<TLanes, TVector>.Bit(fifth, 2 * n % 8 + 1, 4));
    }
}

/// <inheritdoc cref="ChunkForm.Bits8"/>
internal readonly unsafe struct Bits8Form : IChunkForm
{
    public static int Vectors => 16;
    public static int Largest => 255;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Codes<TLanes, TVector>(byte* chunk, int n, out TVector first, out TVector second, out TVector third) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        third = default;
        first = TLanes.Load(chunk + 2 * n * IBlockFormat.Vector);
        second = TLanes.Load(chunk + (2 * n + 1) * IBlockFormat.Vector);
    }
}

/// <summary>Parts of codes that several forms have.</summary>
internal static unsafe class FormBits<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>Nibble <paramref name="n"/> of vectors of nibbles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Nibbles(byte* chunk, int n) => TLanes.Bits(TLanes.Load(chunk + n / 2 * IBlockFormat.Vector), n % 2 * 4, 15);

    /// <summary>Bit <paramref name="from"/> of the bytes as bit <paramref name="to"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Bit(TVector bytes, int from, int to) =>
        from > to ? TLanes.Bits(bytes, from - to, (byte)(1 << to)) : TLanes.UpperBits(bytes, to - from, (byte)(1 << to));
}
