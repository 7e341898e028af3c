using System;
using System.Globalization;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Models.Conversion;

/// <summary>
/// Random matrices in our packed layouts. Types are <c>pb-SHARE</c>, partially binarized with that share of salient weights of 8 bits, and
/// <c>uniform-BITS</c>, uniform grids in groups of 128; scales are halves.
/// </summary>
internal static class RandomCodes
{
    private const int GroupSize = 128;

    /// <summary>Whether a type is one of ours.</summary>
    public static bool Knows(string type) => TryRead(type, "pb-", 1, out _) || (TryRead(type, "uniform-", 8, out double bits) && bits >= 2 && double.IsInteger(bits));

    /// <summary>Makes a matrix. Every row has the same number of salient weights, so that matrices of a shape have parts of the same sizes.</summary>
    public static PackedMatrix Pack(string type, int rows, int columns, ref SplitMix64 random)
    {
        float deviation = 1 / MathF.Sqrt(columns);
        MatrixCodes codes = TryRead(type, "pb-", 1, out double share)
            ? PartiallyBinarized(rows, columns, share, deviation, ref random)
            : Uniform(rows, columns, TryRead(type, "uniform-", 8, out double bits) ? (int)bits : 0, deviation, ref random);
        return PackedMatrix.Of(codes, ElementFormat.F16)!;
    }

    private static PartiallyBinarizedCodes PartiallyBinarized(int rows, int columns, double share, float deviation, ref SplitMix64 random)
    {
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits: 1, highBits: 8, lowGroupSize: columns, highGroupSize: columns);
        int salient = (int)Math.Round(share * columns);
        for (int row = 0; row < rows; row++)
        {
            Span<byte> code = codes.Codes.AsSpan(row * columns, columns);
            Span<bool> isSalient = codes.Salient.AsSpan(row * columns, columns);
            RandomBlocks.FillBits(ref random, code);
            for (int chosen = 0; chosen < salient;)
            {
                int column = random.Below(columns);
                if (isSalient[column]) continue;
                isSalient[column] = true;
                chosen++;
            }
            for (int column = 0; column < columns; column++)
            {
                if (!isSalient[column]) code[column] &= 1;
            }
        }
        Array.Fill(codes.LowScale, deviation / 2);
        Array.Fill(codes.HighScale, deviation / 32);
        Array.Fill(codes.HighZero, (byte)128);
        return codes;
    }

    private static UniformCodes Uniform(int rows, int columns, int bits, float deviation, ref SplitMix64 random)
    {
        UniformCodes codes = new(rows, columns, bits, GroupSize);
        RandomBlocks.FillBits(ref random, codes.Codes);
        int mask = (1 << bits) - 1;
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] &= (byte)mask;
        Array.Fill(codes.Scales, deviation / (mask / MathF.Sqrt(12)));
        Array.Fill(codes.Zeros, (byte)(mask / 2));
        return codes;
    }

    private static bool TryRead(string type, string prefix, double most, out double number)
    {
        number = 0;
        return type.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)
            && double.TryParse(type.AsSpan(prefix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number) && number <= most;
    }
}
