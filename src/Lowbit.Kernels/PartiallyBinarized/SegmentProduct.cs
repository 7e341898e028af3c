using System;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// The product of a row with one token of 12-bit activations, weight after weight: the definition that <see cref="TileProduct{TKernel}"/> meets.
/// A token is s · x with one scale s and integers x of −2047 to 2047 (<see cref="RoundedTokens"/>). A segment is a run of blocks of 64 columns
/// that share all scales, at most <see cref="SegmentBlocks"/> of them. With v the value of a low weight's bits, q the code of a salient
/// weight, and the sums over a segment
///   low = Σ_low v x,  high = Σ_salient x,  codes = Σ_salient q x,  total = Σ x,
/// the low weights contribute  lowScale · P + lowMean · M,  M = total − high,  P = 2 low − (2^lowBits − 1) M,
/// the salient ones            highScale · H,               H = codes − zero · high,
/// all of them integers of 32 bits. The float result is, segment after segment, y += (lowScale · P + lowMean · M) + highScale · H, and in
/// the end s · y, each operation rounded by itself, so that all kernels give the same bits.
/// </summary>
internal static unsafe class SegmentProduct
{
    /// <summary>Most blocks of a segment: 2048 columns · 255 · 2047 stays below 2^31.</summary>
    public const int SegmentBlocks = 32;

    /// <summary>The block before which the segment ends that begins at a block.</summary>
    public static int SegmentEnd(in PackedRows rows, int block)
    {
        int end = Math.Min(rows.Words, block + SegmentBlocks);
        if (rows.LowGroups > 1) end = Math.Min(end, (64 * block / rows.LowGroupSize + 1) * (rows.LowGroupSize / 64));
        if (rows.HighGroups > 1) end = Math.Min(end, (64 * block / rows.HighGroupSize + 1) * (rows.HighGroupSize / 64));
        return end;
    }

    /// <summary>Multiplies a row.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="row">The row.</param>
    /// <param name="rest">Its unpacked codes, without the bits that are in the low planes.</param>
    /// <param name="x">The token.</param>
    public static float Row(in PackedRows rows, int row, byte* rest, in RoundedToken x)
    {
        float y = 0;
        for (int block = 0, end; block < rows.Words; block = end)
        {
            end = SegmentEnd(rows, block);
            int low = 0, high = 0, codes = 0, total = x.Sums[end] - x.Sums[block];
            for (int b = block; b < end; b++)
            {
                ulong salient = rows.Positions[(long)row * rows.Words + b];
                for (int i = 0; i < 64; i++)
                {
                    int bits = 0, value = x.Value(64 * b + i);
                    for (int plane = 0; plane < rows.LowBits; plane++) bits |= (int)(rows.LowWord(row, plane, b) >> i & 1) << plane;
                    if ((salient >> i & 1) == 0)
                    {
                        low += bits * value;
                        continue;
                    }
                    high += value;
                    codes += (bits << rows.RestBits | *rest++) * value;
                }
            }
            long lowGroup = (long)row * rows.LowGroups + (rows.LowGroups == 1 ? 0 : 64 * block / rows.LowGroupSize);
            long highGroup = (long)row * rows.HighGroups + (rows.HighGroups == 1 ? 0 : 64 * block / rows.HighGroupSize);
            int m = total - high;
            int p = 2 * low - ((1 << rows.LowBits) - 1) * m;
            int h = codes - rows.HighZero[highGroup] * high;
            float lows = (rows.LowBits == 0 ? 0 : rows.Scale(rows.LowScale, lowGroup)) * p + rows.Scale(rows.LowMean, lowGroup) * m;
            y += lows + rows.Scale(rows.HighScale, highGroup) * h;
        }
        return x.Scale * y;
    }
}
