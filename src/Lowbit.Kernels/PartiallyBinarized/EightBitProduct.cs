using System.Numerics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The product of a row with one token of 8-bit activations, weight after weight: the definition that <see cref="ITileProduct"/> meets. For a block b of 64 activations with scale s and codes x, with
/// v the value of a weight's bits in the low planes, q' the other bits of a salient code, and the sums
///   all = Σ v x,  both = Σ_salient v x,  high = Σ_salient x,  rest = Σ_salient q' x,  total = Σ x,
/// the low weights contribute  lowScale · P + lowMean · M,  M = total − high,  P = 2 (all − both) − (2^lowBits − 1) M,
/// the salient ones            highScale · H,               H = rest + 2^restBits · both − zero · high.
/// All of these are integers below 2^24. The float result is, block after block, y += s · ((lowScale · P + lowMean · M) +
/// highScale · H), each operation rounded by itself, so that all kernels give the same bits.
/// </summary>
internal static unsafe class EightBitProduct
{
    /// <summary>Multiplies a row.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="row">The row.</param>
    /// <param name="codes">Its unpacked codes.</param>
    /// <param name="x">[words · 64] activations.</param>
    /// <param name="scales">[words] scales of the activations.</param>
    /// <param name="sums">[words] sums of the activations.</param>
    public static float Row(in PackedRows rows, int row, byte* codes, sbyte* x, float* scales, int* sums)
    {
        float y = 0;
        for (int b = 0; b < rows.Words; b++)
        {
            ulong salient = rows.Positions[(long)row * rows.Words + b];
            ulong* low = rows.Low + (long)row * rows.LowBits * rows.Words + b;
            int all = 0, both = 0, high = 0, rest = 0;
            for (int plane = 0; plane < rows.LowBits; plane++)
            {
                for (ulong bits = low[plane * rows.Words]; bits != 0; bits &= bits - 1)
                {
                    int column = BitOperations.TrailingZeroCount(bits), value = x[64 * b + column] << plane;
                    all += value;
                    if ((salient >> column & 1) != 0) both += value;
                }
            }
            for (ulong bits = salient; bits != 0; bits &= bits - 1)
            {
                int value = x[64 * b + BitOperations.TrailingZeroCount(bits)];
                high += value;
                rest += *codes++ * value;
            }
            long lowGroup = (long)row * rows.LowGroups + (rows.LowGroups == 1 ? 0 : 64 * b / rows.LowGroupSize);
            long highGroup = (long)row * rows.HighGroups + (rows.HighGroups == 1 ? 0 : 64 * b / rows.HighGroupSize);
            int m = sums[b] - high;
            int p = 2 * (all - both) - ((1 << rows.LowBits) - 1) * m;
            int h = rest + (both << rows.RestBits) - rows.HighZero[highGroup] * high;
            float low0 = (rows.LowBits == 0 ? 0 : rows.Scale(rows.LowScale, lowGroup)) * p + rows.Scale(rows.LowMean, lowGroup) * m;
            y += scales[b] * (low0 + rows.Scale(rows.HighScale, highGroup) * h);
        }
        return y;
    }
}
