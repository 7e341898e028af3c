using System;
using Lowbit.Quantization.LinearAlgebra;

namespace Lowbit.Quantization.Methods;

/// <summary>How much a weight matters.</summary>
public enum SaliencyMetric
{
    /// <summary>|w|.</summary>
    Magnitude,
    /// <summary>
    /// w² / U_jj², what pruning weight j costs after the best compensation by the columns behind it (SparseGPT). The paper
    /// writes w² / [H⁻¹]_jj²; its repository computes this, with U_jj² = [H[j.., j..]⁻¹]_00.
    /// </summary>
    Hessian,
}

/// <summary>Which weights are salient: a fixed share of every group of columns over all rows, those with the largest scores.</summary>
internal static class Saliency
{
    /// <summary>Marks the salient weights.</summary>
    /// <param name="weight">[rows, columns].</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="groupSize">Columns of a group.</param>
    /// <param name="share">Share of salient weights; 0 marks none, 1 all.</param>
    /// <param name="factor">U of the damped Hessian for <see cref="SaliencyMetric.Hessian"/>, null for <see cref="SaliencyMetric.Magnitude"/>.</param>
    /// <param name="salient">[rows, columns], set to true where a weight is salient.</param>
    public static void Mark(ReadOnlySpan<float> weight, int rows, int columns, int groupSize, double share, InverseFactor? factor, Span<bool> salient)
    {
        var scores = new float[(long)rows * Math.Min(groupSize, columns)];
        var energy = new float[Math.Min(groupSize, columns)]; // U_jj²
        for (int start = 0; start < columns; start += groupSize)
        {
            int width = Math.Min(groupSize, columns - start), count = rows * width;
            for (int j = 0; j < width; j++) energy[j] = factor is null ? 1 : factor[start + j, start + j] * factor[start + j, start + j];
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < width; j++)
                {
                    float w = weight[r * columns + start + j];
                    scores[r * width + j] = factor is null ? MathF.Abs(w) : w * w / energy[j];
                }
            // With f the binary fraction, the floor(count · f) + 1 smallest scores are not salient, and all equal to the last of these.
            int rank = (int)(count * (1 - share));
            float threshold = share >= 1 ? -1 : rank >= count ? float.PositiveInfinity : Smallest(scores.AsSpan(0, count), rank);
            for (int r = 0; r < rows; r++)
                for (int j = 0; j < width; j++) salient[r * columns + start + j] = scores[r * width + j] > threshold;
        }
    }

    /// <summary>The element that a sort would put at place <paramref name="rank"/>; no element may be negative.</summary>
    internal static float Smallest(ReadOnlySpan<float> values, int rank)
    {
        // Floats above zero are in the order of their bits: count by the upper half of the bits, then by the lower half.
        var counts = new int[1 << 16];
        foreach (float value in values) counts[BitConverter.SingleToUInt32Bits(value) >> 16]++;
        uint upper = Find(counts, ref rank);
        Array.Clear(counts);
        foreach (float value in values)
        {
            uint bits = BitConverter.SingleToUInt32Bits(value);
            if (bits >> 16 == upper) counts[bits & 0xffff]++;
        }
        return BitConverter.UInt32BitsToSingle(upper << 16 | Find(counts, ref rank));
    }

    // The bucket that holds the element of the rank, which becomes its rank within the bucket.
    private static uint Find(int[] counts, ref int rank)
    {
        uint bucket = 0;
        for (; rank >= counts[bucket]; bucket++) rank -= counts[bucket];
        return bucket;
    }
}
