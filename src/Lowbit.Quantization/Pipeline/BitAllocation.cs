using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What was measured of one linear before bits were given out.</summary>
/// <param name="Name">Name of its tensor, without ending.</param>
/// <param name="Weights">Number of weights.</param>
/// <param name="Bits">Bits per weight with each candidate, scales included.</param>
/// <param name="Errors">Output error ‖X(W−Ŵ)ᵀ‖² / ‖XWᵀ‖² with each candidate.</param>
/// <param name="Reference">The candidate with which <paramref name="Divergence"/> was measured.</param>
/// <param name="Divergence">Mean KL divergence from the float model when only this linear is quantized, with the reference candidate.</param>
public sealed record LinearSensitivity(string Name, long Weights, double[] Bits, double[] Errors, int Reference, double Divergence)
{
    /// <summary>Divergence that a unit of output error makes.</summary>
    public double Weight => Errors[Reference] > 0 ? Math.Max(0, Divergence) / Errors[Reference] : 0;

    /// <summary>Divergence that is expected with a candidate.</summary>
    public double Cost(int candidate) => Weight * Errors[candidate];
}

/// <summary>
/// Gives out bits: the candidates, one a linear, whose expected divergences have the smallest sum among all that meet
/// the size. Divergences of single linears add up, nearly, while they are small, and each is nearly proportional to the
/// error of its layer (the linearity theorem of Malinovskii et al., arXiv 2411.17525; there with errors of weights, here
/// with errors of outputs under the calibration text).
/// </summary>
public static class BitAllocation
{
    private const int Units = 1 << 16; // the size is counted in this many parts

    /// <summary>Chooses by dynamic programming over the linears.</summary>
    /// <param name="linears">What was measured.</param>
    /// <param name="targetBits">Bits per weight over all linears together.</param>
    /// <returns>A candidate for every linear.</returns>
    /// <exception cref="LowbitException">Even the smallest candidates are larger than that.</exception>
    public static int[] Choose(IReadOnlyList<LinearSensitivity> linears, double targetBits)
    {
        double budget = targetBits * linears.Sum(linear => (double)linear.Weights);
        double smallest = linears.Sum(linear => linear.Bits.Min() * linear.Weights);
        if (smallest > budget)
            throw new LowbitException(string.Create(CultureInfo.InvariantCulture, $"--target-bits {targetBits}: the smallest settings that were tried take {smallest / linears.Sum(linear => linear.Weights):F3} bits per weight, scales included; ask for at least that, or take larger groups."));
        // Whole bytes would need too large a table. Rounding sizes up costs less than a unit a linear, so the table is longer
        // by these, and of what it offers beyond the size the first that really fits is taken.
        double unit = budget / Units;
        int length = Units + linears.Count;
        int SizeOf(LinearSensitivity linear, int candidate) => (int)Math.Min(length + 1, Math.Ceiling(linear.Bits[candidate] * linear.Weights / unit - 1e-9));
        double[] cost = new double[length + 1], next = new double[length + 1];
        byte[][] choices = new byte[linears.Count][];
        for (int i = 0; i < linears.Count; i++)
        {
            LinearSensitivity linear = linears[i];
            choices[i] = new byte[length + 1];
            Array.Fill(next, double.PositiveInfinity);
            Array.Fill(choices[i], byte.MaxValue);
            for (int c = 0; c < linear.Bits.Length; c++)
            {
                int size = SizeOf(linear, c);
                double added = linear.Cost(c);
                for (int used = size; used <= length; used++)
                {
                    double sum = cost[used - size] + added;
                    if (!(sum < next[used])) continue;
                    next[used] = sum;
                    choices[i][used] = (byte)c;
                }
            }
            (cost, next) = (next, cost);
        }
        for (int end = length; end >= Units; end--)
        {
            int[] chosen = new int[linears.Count];
            double bits = 0;
            for (int i = linears.Count - 1, left = end; i >= 0 && left >= 0; i--)
            {
                chosen[i] = choices[i][left];
                if (chosen[i] == byte.MaxValue) bits = double.PositiveInfinity;
                if (double.IsInfinity(bits)) break;
                bits += linears[i].Bits[chosen[i]] * linears[i].Weights;
                left -= SizeOf(linears[i], chosen[i]);
            }
            if (bits <= budget * (1 + 1e-12)) return chosen;
        }
        return Smallest(linears);
    }

    private static int[] Smallest(IReadOnlyList<LinearSensitivity> linears) => [.. linears.Select(linear => Array.IndexOf(linear.Bits, linear.Bits.Min()))];
}
