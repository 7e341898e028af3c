using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// A level is m ± a ± b, the signs being bits s and t of a code: over the columns of a class of a piece, with activations x,
/// Σ level · x = a (2 Σ s x − Σ x) + b (2 Σ t x − Σ x) + m Σ x, the sums in integers. Those of the first class are what is left of
/// the sums over all columns, so that columns of the second class alone are met twice.
/// </summary>
internal readonly unsafe struct TwoPlaneSum<TLanes, TVector> : IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Piece(byte* numbers, byte* codes, PlaneShape shape, PlaneChunk* input)
    {
        Sums(codes, input->Vectors, input->Codes, out TVector s0, out TVector t0);
        if (shape.Classes == 1) return Class(numbers, shape.Numbers, s0, t0, &input->FirstSum);
        Sums(codes, input->SecondVectors, input->Second, out TVector s1, out TVector t1);
        TVector first = Class(numbers, shape.Numbers, TLanes.SubtractIntegers(s0, s1), TLanes.SubtractIntegers(t0, t1), &input->FirstSum);
        return TLanes.Add(first, Class(numbers + shape.Numbers * IBlockFormat.Factors, shape.Numbers, s1, t1, &input->SecondSum));
    }

    // 2 Σ s x and Σ t x.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sums(byte* codes, int vectors, sbyte* activations, out TVector s, out TVector t)
    {
        s = t = default;
        for (sbyte* end = activations + PlanePiece.VectorColumns * vectors; activations < end; activations += PlanePiece.VectorColumns, codes += IBlockFormat.Vector)
        {
            TVector four = TLanes.Load(codes);
            for (int k = 0; k < PlanePiece.VectorColumns; k += 4)
            {
                TVector x = TLanes.Broadcast(activations + k);
                s = PlaneSums<TLanes, TVector>.Add(s, four, 2, x);
                t = PlaneSums<TLanes, TVector>.Add(t, four, 1, x);
                four = TLanes.ShiftShorts(four, 2);
            }
        }
        s = PlaneSums<TLanes, TVector>.Whole(s);
        t = PlaneSums<TLanes, TVector>.Whole(t);
    }

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
