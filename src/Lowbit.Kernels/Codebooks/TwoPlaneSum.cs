using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// A level is m ± a ± b, the signs being bits s and t of a code: over the columns of a class of a chunk, with activations x,
/// Σ level · x = a (2 Σ s x − Σ x) + b (2 Σ t x − Σ x) + m Σ x, the sums in integers. Those of the first class are what is left of
/// the sums over all columns, so that columns of the second class alone are met twice.
/// </summary>
internal readonly unsafe struct TwoPlaneSum<TLanes, TVector> : IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Chunk(byte* numbers, byte* chunk, PlaneShape shape, PlaneChunk* input)
    {
        TVector s = default, t = default;
        for (int step = 0; step < 4; step++)
        {
            TVector codes = TLanes.Load(chunk + IBlockFormat.Vector * step);
            sbyte* x = input->Codes + 4 * step;
            TVector x0 = TLanes.Broadcast(x), x1 = TLanes.Broadcast(x + 16), x2 = TLanes.Broadcast(x + 32), x3 = TLanes.Broadcast(x + 48);
            s = Add(s, codes, 2, x0);
            t = Add(t, codes, 1, x0);
            codes = TLanes.ShiftShorts(codes, 2);
            s = Add(s, codes, 2, x1);
            t = Add(t, codes, 1, x1);
            codes = TLanes.ShiftShorts(codes, 2);
            s = Add(s, codes, 2, x2);
            t = Add(t, codes, 1, x2);
            codes = TLanes.ShiftShorts(codes, 2);
            s = Add(s, codes, 2, x3);
            t = Add(t, codes, 1, x3);
        }
        TVector s0 = Sum(s), t0 = Sum(t);
        if (shape.Classes == 1) return Class(numbers, shape.Numbers, s0, t0, &input->FirstSum);
        s = default;
        t = default;
        for (int step = 0; step < input->Steps; step++)
        {
            TVector codes = TLanes.ShiftShorts(TLanes.Load(chunk + IBlockFormat.Vector * (step & 3)), step / 4 * 2);
            TVector x = TLanes.Broadcast(input->Second + 4 * step);
            s = Add(s, codes, 2, x);
            t = Add(t, codes, 1, x);
        }
        TVector s1 = Sum(s), t1 = Sum(t);
        TVector first = Class(numbers, shape.Numbers, TLanes.SubtractIntegers(s0, s1), TLanes.SubtractIntegers(t0, t1), &input->FirstSum);
        return TLanes.Add(first, Class(numbers + shape.Numbers * IBlockFormat.Factors, shape.Numbers, s1, t1, &input->SecondSum));
    }

    // 2 Σ s x or Σ t x.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add(TVector sum, TVector codes, byte bit, TVector x) => TLanes.AddProducts(sum, TLanes.And(codes, TLanes.Bytes(bit)), x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sum(TVector sums) => TLanes.SumsAreWide ? sums : TLanes.Dot(sums, TLanes.Shorts(1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Class(byte* numbers, int count, TVector s, TVector t, int* sum)
    {
        TVector x = TLanes.Broadcast(sum);
        TVector planes = TLanes.Add(
            TLanes.Multiply(Number(numbers), TLanes.ToFloat(TLanes.SubtractIntegers(s, x))),
            TLanes.Multiply(Number(numbers + IBlockFormat.Factors), TLanes.ToFloat(TLanes.SubtractIntegers(TLanes.AddIntegers(t, t), x))));
        return count == 2 ? planes : TLanes.Add(planes, TLanes.Multiply(Number(numbers + 2 * IBlockFormat.Factors), TLanes.ToFloat(x)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Number(byte* halves) => TLanes.LoadHalves(halves, IBlockFormat.FactorExponent);
}
