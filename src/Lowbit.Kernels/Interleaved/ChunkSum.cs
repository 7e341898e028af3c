using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.Interleaved;

/// <summary>
/// How a chunk is summed up. Each way is a type of its own, so that the compiler meets one of them in a kernel: it stops inlining
/// where there is too much, and the kernel is then several times slower.
/// </summary>
internal unsafe interface IChunkSum<TVector> where TVector : struct
{
    /// <summary>The sum over a chunk, without the scale of the activations.</summary>
    /// <param name="header">The factors of the chunk, at those of the rows.</param>
    /// <param name="chunk">The chunk, at the rows' lanes.</param>
    /// <param name="position">Its number in the group.</param>
    /// <param name="x">64 activations.</param>
    /// <param name="sums">Sums of the four units of them.</param>
    static abstract TVector Compute(byte* header, byte* chunk, int position, sbyte* x, short* sums);
}

/// <summary>Products of the rows of one vector with the activations of one token; the order of operations is <see cref="ScalarProduct"/>'s.</summary>
internal static unsafe class ChunkSum<TFormat, TLanes, TVector>
    where TFormat : struct, IBlockFormat where TLanes : struct, ILanes<TVector> where TVector : struct
{
    /// <summary>The sum where factors belong to halves of a chunk or all of it; <see cref="IChunkSum{TVector}.Compute"/>.</summary>
    public readonly struct OfHalves : IChunkSum<TVector>
    {
        /// <inheritdoc/>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TVector Compute(byte* header, byte* chunk, int position, sbyte* x, short* sums) => Halves(header, chunk, x, sums);
    }

    /// <summary>The sum where factors belong to units of 16 columns (<see cref="IBlockFormat.FactorsOfUnits"/>).</summary>
    public readonly struct OfUnits : IChunkSum<TVector>
    {
        /// <inheritdoc/>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TVector Compute(byte* header, byte* chunk, int position, sbyte* x, short* sums)
        {
            TVector v = TLanes.Add(ScaledUnit(header, chunk, 0, x, sums), ScaledUnit(header, chunk, 1, x, sums));
            v = TLanes.Add(v, ScaledUnit(header, chunk, 2, x, sums));
            return TLanes.Add(v, ScaledUnit(header, chunk, 3, x, sums));
        }
    }

    /// <summary>The sum where a format multiplies its codes itself (<see cref="IBlockFormat.StepsArePaired"/>).</summary>
    public readonly struct OfPairs : IChunkSum<TVector>
    {
        /// <inheritdoc/>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TVector Compute(byte* header, byte* chunk, int position, sbyte* x, short* sums)
        {
            TVector j = TLanes.Dot(TLanes.Broadcast(sums), TFormat.Minimum<TLanes, TVector>(chunk, 0));
            j = TLanes.AddIntegers(j, TLanes.Dot(TLanes.Broadcast(sums + 2), TFormat.Minimum<TLanes, TVector>(chunk, 1)));
            return Scaled(header, 0, TFormat.Dot<TLanes, TVector>(chunk, position, x), j);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Halves(byte* header, byte* chunk, sbyte* x, short* sums)
    {
        TVector i0 = Half(chunk, 0, x), i1 = Half(chunk, 1, x + 32);
        TVector j0 = TLanes.Dot(TLanes.Broadcast(sums), TFormat.Minimum<TLanes, TVector>(chunk, 0));
        TVector j1 = TLanes.Dot(TLanes.Broadcast(sums + 2), TFormat.Minimum<TLanes, TVector>(chunk, 1));
        return TFormat.FactorsOfHalves
            ? TLanes.Add(Scaled(header, 0, i0, j0), Scaled(header, 1, i1, j1))
            : Scaled(header, 0, TLanes.AddIntegers(i0, i1), TLanes.AddIntegers(j0, j1));
    }

    /// <summary>j of a unit.</summary>
    /// <param name="sums">Sums of the two units of its half.</param>
    /// <param name="unit">The unit.</param>
    /// <param name="minimum">Minimums of the two units.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector UnitMinimum(short* sums, int unit, TVector minimum) =>
        TLanes.Dot(TLanes.And(TLanes.Broadcast(sums), TLanes.Integers(unit % 2 == 0 ? 0xFFFF : unchecked((int)0xFFFF0000))), minimum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector ScaledUnit(byte* header, byte* chunk, int unit, sbyte* x, short* sums)
    {
        TVector i = Steps(chunk, unit, 0, 4, x + 16 * unit, default);
        if (!TLanes.SumsAreWide) i = TLanes.Dot(i, TLanes.Shorts(1));
        TVector j = UnitMinimum(sums + unit / 2 * 2, unit, TFormat.Minimum<TLanes, TVector>(chunk, unit / 2));
        return TLanes.Multiply(TFormat.UnitFactor<TLanes, TVector>(header, chunk, unit), TLanes.ToFloat(TLanes.AddIntegers(i, j)));
    }

    /// <summary>F (i + j) or F i + G j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Scaled(byte* header, int half, TVector i, TVector j)
    {
        TVector factor = TFormat.Factor<TLanes, TVector>(header, half);
        if (!TFormat.MinimumHasFactor) return TLanes.Multiply(factor, TLanes.ToFloat(TLanes.AddIntegers(i, j)));
        return TLanes.Add(
            TLanes.Multiply(factor, TLanes.ToFloat(i)),
            TLanes.Multiply(TFormat.MinimumFactor<TLanes, TVector>(header, half), TLanes.ToFloat(j)));
    }

    // How many products fit into 16 bits depends on the width of the codes: 127 · 2 · (2^bits − 1) each. Into 32 bits all do.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Half(byte* chunk, int half, sbyte* x)
    {
        if (TLanes.SumsAreWide && TFormat.ScaleRun != 16)
        {
            TVector sum = Steps(chunk, 2 * half + 1, 0, 4, x + 16, Steps(chunk, 2 * half, 0, 4, x, default));
            return TFormat.ScaleRun == 0 ? sum : TLanes.Scale(sum, TFormat.Scale<TLanes, TVector>(chunk, 2 * half));
        }
        if (TFormat.CodeBits == 8 && !TLanes.SumsAreWide)
        {
            TVector low = default, high = default;
            Nibbles(chunk, 2 * half, x, ref low, ref high);
            Nibbles(chunk, 2 * half + 1, x + 16, ref low, ref high);
            return TLanes.AddIntegers(TLanes.Scale(low, TLanes.Shorts(1)), TLanes.Scale(high, TLanes.Shorts(16)));
        }
        if (TFormat.CodeBits <= 4 && TFormat.ScaleRun != 16)
        {
            TVector sum = Steps(chunk, 2 * half, 0, 4, x, default);
            return TLanes.Scale(Steps(chunk, 2 * half + 1, 0, 4, x + 16, sum), TFormat.Scale<TLanes, TVector>(chunk, 2 * half));
        }
        return TLanes.AddIntegers(Unit(chunk, 2 * half, x), Unit(chunk, 2 * half + 1, x + 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Unit(byte* chunk, int unit, sbyte* x)
    {
        TVector scale = TFormat.Scale<TLanes, TVector>(chunk, unit);
        if (TFormat.CodeBits <= 5 || TLanes.SumsAreWide) return TLanes.Scale(Steps(chunk, unit, 0, 4, x, default), scale);
        TVector sum = TLanes.Scale(Steps(chunk, unit, 0, 2, x, default), scale);
        return TLanes.AddIntegers(sum, TLanes.Scale(Steps(chunk, unit, 2, 4, x, default), scale));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Steps(byte* chunk, int unit, int first, int end, sbyte* x, TVector sum)
    {
        for (int step = first; step < end; step++) sum = TLanes.AddProducts(sum, TFormat.Codes<TLanes, TVector>(chunk, unit, step), TLanes.Broadcast(x + 4 * step));
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Nibbles(byte* chunk, int unit, sbyte* x, ref TVector low, ref TVector high)
    {
        TVector l = low, h = high;
        for (int step = 0; step < 4; step++)
        {
            TVector codes = TFormat.Codes<TLanes, TVector>(chunk, unit, step), values = TLanes.Broadcast(x + 4 * step);
            l = TLanes.AddProducts(l, TLanes.Bits(codes, 0, 0xF), values);
            h = TLanes.AddProducts(h, TLanes.Bits(codes, 4, 0xF), values);
        }
        low = l;
        high = h;
    }
}
