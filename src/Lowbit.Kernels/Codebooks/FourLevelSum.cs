using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Any four levels l. Over the columns of a class of a piece, with activations x, Σ level · x = Σ l[k] n[k], where n[k] is the sum of the x
/// whose code is k. Three sums in integers give all of them: those over codes with bit 1, with bit 0 and with both. As in
/// <see cref="TwoPlaneSum{TLanes, TVector}"/> the first class is what the second leaves.
/// </summary>
internal readonly unsafe struct FourLevelSum<TLanes, TVector> : IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Piece(byte* numbers, byte* codes, PlaneShape shape, PlaneChunk* input)
    {
        Sums(codes, input->Vectors, input->Codes, out TVector upper0, out TVector lower0, out TVector both0);
        if (shape.Classes == 1) return Class(numbers, upper0, lower0, both0, &input->FirstSum);
        Sums(codes, input->SecondVectors, input->Second, out TVector upper1, out TVector lower1, out TVector both1);
        TVector first = Class(
            numbers, TLanes.SubtractIntegers(upper0, upper1), TLanes.SubtractIntegers(lower0, lower1), TLanes.SubtractIntegers(both0, both1), &input->FirstSum);
        return TLanes.Add(first, Class(numbers + 4 * IBlockFormat.Factors, upper1, lower1, both1, &input->SecondSum));
    }

    // Twice the sum over bit 1, that over bit 0, twice that over both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sums(byte* codes, int vectors, sbyte* activations, out TVector upper, out TVector lower, out TVector both)
    {
        upper = lower = both = default;
        for (sbyte* end = activations + PlanePiece.VectorColumns * vectors; activations < end; activations += PlanePiece.VectorColumns, codes += IBlockFormat.Vector)
        {
            TVector four = TLanes.Load(codes), pairs = Both(four);
            for (int k = 0; k < PlanePiece.VectorColumns; k += 4)
            {
                TVector x = TLanes.Broadcast(activations + k);
                upper = PlaneSums<TLanes, TVector>.Add(upper, four, 2, x);
                lower = PlaneSums<TLanes, TVector>.Add(lower, four, 1, x);
                both = PlaneSums<TLanes, TVector>.Add(both, pairs, 2, x);
                four = TLanes.ShiftShorts(four, 2);
                pairs = TLanes.ShiftShorts(pairs, 2);
            }
        }
        upper = PlaneSums<TLanes, TVector>.Whole(upper);
        lower = PlaneSums<TLanes, TVector>.Whole(lower);
        both = PlaneSums<TLanes, TVector>.Whole(both);
    }

    // Bit 1 of a code where bit 0 is set, too.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Both(TVector codes) => TLanes.And(codes, TLanes.UpperBits(codes, 1, 0xAA));

    // The sums are taken twice, the levels half.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Class(byte* levels, TVector upper, TVector lower, TVector both, int* sum)
    {
        TVector x = TLanes.Broadcast(sum);
        TVector n2 = TLanes.SubtractIntegers(upper, both), n1 = TLanes.SubtractIntegers(TLanes.AddIntegers(lower, lower), both);
        TVector n0 = TLanes.SubtractIntegers(TLanes.SubtractIntegers(TLanes.AddIntegers(x, x), n1), upper);
        TVector y = TLanes.Add(Product(levels, n0), Product(levels + IBlockFormat.Factors, n1));
        y = TLanes.Add(y, Product(levels + 2 * IBlockFormat.Factors, n2));
        return TLanes.Add(y, Product(levels + 3 * IBlockFormat.Factors, both));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Product(byte* levels, TVector n) => TLanes.Multiply(TLanes.LoadHalves(levels, IBlockFormat.FactorExponent - 1), TLanes.ToFloat(n));
}
