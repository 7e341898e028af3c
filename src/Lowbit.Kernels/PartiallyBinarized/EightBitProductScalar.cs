using System;
using System.Numerics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>The oracle: weight after weight.</summary>
internal readonly unsafe struct EightBitProductScalar : IEightBitProduct
{
    public static void Run(in PackedRows rows, int firstRow, byte* codes, sbyte* x, float* scales, int* sums, float* results)
    {
        for (int i = 0; i < IEightBitProduct.Rows; i++)
        {
            int row = Math.Min(firstRow + i, rows.Rows - 1);
            results[i] = Row(rows, row, codes + (long)i * rows.CodeStride, x, scales, sums);
        }
    }

    private static float Row(in PackedRows rows, int row, byte* codes, sbyte* x, float* scales, int* sums)
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
                if (rows.RestBits > 0) rest += *codes++ * value;
            }
            long lowGroup = (long)row * rows.LowGroups + (rows.LowGroups == 1 ? 0 : 64 * b / rows.LowGroupSize);
            long highGroup = (long)row * rows.HighGroups + (rows.HighGroups == 1 ? 0 : 64 * b / rows.HighGroupSize);
            int m = sums[b] - high;
            int p = 2 * (all - both) - ((1 << rows.LowBits) - 1) * m;
            int h = rest + (both << rows.RestBits) - rows.HighZero[highGroup] * high;
            float lowPart = (rows.LowBits == 0 ? 0 : rows.Scale(rows.LowScale, lowGroup)) * p + rows.Scale(rows.LowMean, lowGroup) * m;
            y += scales[b] * (lowPart + rows.Scale(rows.HighScale, highGroup) * h);
        }
        return y;
    }
}
