namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Products of rows with one token of 8-bit activations. For a block b of 64 activations with scale s and codes x, with
/// v the value of a weight's bits in the low planes, q' the other bits of a salient code, and the sums
///   all = Σ v x,  both = Σ_salient v x,  high = Σ_salient x,  rest = Σ_salient q' x,  total = Σ x,
/// the low weights contribute  lowScale · P + lowMean · M,  M = total − high,  P = 2 (all − both) − (2^lowBits − 1) M,
/// the salient ones            highScale · H,               H = rest + 2^restBits · both − zero · high.
/// All of these are integers below 2^24. The float result is, block after block, y += s · ((lowScale · P + lowMean · M) +
/// highScale · H), each operation rounded by itself, so that all kernels give the same bits.
/// </summary>
internal unsafe interface IEightBitProduct
{
    /// <summary>Multiplies <see cref="Rows"/> rows; rows beyond the last repeat it and their results are to be thrown away.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="firstRow">First row, a multiple of <see cref="Rows"/>.</param>
    /// <param name="codes">[Rows, <see cref="PackedRows.CodeStride"/>] unpacked codes of the rows.</param>
    /// <param name="x">[words · 64] activations.</param>
    /// <param name="scales">[words] scales of the activations.</param>
    /// <param name="sums">[words] sums of the activations.</param>
    /// <param name="results">[Rows].</param>
    static abstract void Run(in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results);

    /// <summary>Rows of one call, for all kernels.</summary>
    const int Rows = 8;
}
