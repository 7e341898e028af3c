using System.Runtime.CompilerServices;
using Lowbit.Kernels.Interleaved;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// Any four levels l. Over the columns of a class of a chunk, with activations x, Σ level · x = Σ l[k] n[k], where n[k] is the sum of the x
/// whose code is k. Three sums in integers give all of them: those over codes with bit 1, with bit 0 and with both. As in
/// <see cref="TwoPlaneSum{TLanes, TVector}"/> the first class is what the second leaves.
/// </summary>
internal readonly unsafe struct FourLevelSum<TLanes, TVector> : IPlaneSum<TLanes, TVector> where TLanes : struct, ILanes<TVector> where TVector : struct
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Chunk(byte* numbers, byte* chunk, PlaneShape shape, PlaneChunk* input)
    {
        // Twice the sum of bit 1, that of bit 0, twice that of both.
        TVector upper = default, lower = default, both = default;
        for (int step = 0; step < 4; step++)
        {
            TVector codes = TLanes.Load(chunk + IBlockFormat.Vector * step), pairs = Both(codes);
            sbyte* activations = input->Codes + 4 * step;
            for (int unit = 0; unit < 4; unit++)
            {
                TVector x = TLanes.Broadcast(activations + 16 * unit);
                upper = Add(upper, codes, 2, x);
                lower = Add(lower, codes, 1, x);
                both = Add(both, pairs, 2, x);
                codes = TLanes.ShiftShorts(codes, 2);
                pairs = TLanes.ShiftShorts(pairs, 2);
            }
        }
        TVector upper0 = Sum(upper), lower0 = Sum(lower), both0 = Sum(both);
        if (shape.Classes == 1) return Class(numbers, upper0, lower0, both0, &input->FirstSum);
        upper = lower = both = default;
        for (int step = 0; step < input->Steps; step++)
        {
            TVector codes = TLanes.ShiftShorts(TLanes.Load(chunk + IBlockFormat.Vector * (step & 3)), step / 4 * 2);
            TVector x = TLanes.Broadcast(input->Second + 4 * step);
            upper = Add(upper, codes, 2, x);
            lower = Add(lower, codes, 1, x);
            both = Add(both, Both(codes), 2, x);
        }
        TVector upper1 = Sum(upper), lower1 = Sum(lower), both1 = Sum(both);
        TVector first = Class(
            numbers, TLanes.SubtractIntegers(upper0, upper1), TLanes.SubtractIntegers(lower0, lower1), TLanes.SubtractIntegers(both0, both1), &input->FirstSum);
        return TLanes.Add(first, Class(numbers + 4 * IBlockFormat.Factors, upper1, lower1, both1, &input->SecondSum));
    }

    // Bit 1 of a code where bit 0 is set, too.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Both(TVector codes) => TLanes.And(codes, TLanes.UpperBits(codes, 1, 0xAA));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add(TVector sum, TVector codes, byte bit, TVector x) => TLanes.AddProducts(sum, TLanes.And(codes, TLanes.Bytes(bit)), x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sum(TVector sums) => TLanes.SumsAreWide ? sums : TLanes.Dot(sums, TLanes.Shorts(1));

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
