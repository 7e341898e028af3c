using System;
using System.Collections.Immutable;
using System.Globalization;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Integers;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Models.Conversion;

/// <summary>
/// Random matrices in our packed layouts. Types are <c>pb-SHARE</c>, partially binarized with that share of salient weights of 8 bits,
/// <c>uniform-BITS</c>, uniform grids in groups of 128, <c>waterline-BITS</c>, integers of so many bits with everything counted, and those of <see cref="Names"/>; scales are halves where a format does not say otherwise.
/// </summary>
internal static class RandomCodes
{
    private const int GroupSize = 128;
    private const int RowsDrawn = 2048; // of more rows the first ones come again: drawing takes longer than all that is done with them
    private const string Coded = "waterline-";

    /// <summary>
    /// Types without a number: one scale for 128 weights of 1 bit or of three values; two binary planes with a mean and columns in two
    /// classes; 4-bit codes into a table with a scale for 64; small floats.
    /// </summary>
    public static ImmutableArray<string> Names { get; } = ["binary", "ternary", "two-planes", "table-4", "fp6", "fp8", "mxfp6", "mxfp8", "mxint8", "nvfp4"];

    /// <summary>Whether a type is one of ours.</summary>
    public static bool Knows(string type) =>
        Names.Contains(type) || TryRead(type, "pb-", 1, out _) || IsCoded(type) || (TryRead(type, "uniform-", 8, out double bits) && bits >= 2 && double.IsInteger(bits));

    /// <summary>Whether matrices are coded, so that each takes as many bytes as its own integers happen to.</summary>
    public static bool IsCoded(string type) => TryRead(type, Coded, 6, out double bits) && bits >= 0.5;

    /// <summary>Makes a matrix. Every row has the same number of salient weights, so that matrices of a shape have parts of the same sizes if they are not coded.</summary>
    public static PackedMatrix Pack(string type, int rows, int columns, ref SplitMix64 random)
    {
        float deviation = 1 / MathF.Sqrt(columns), half = (float)(Half)deviation;
        MatrixCodes codes = type switch
        {
            "binary" => Levels(rows, columns, 1, [-half, half], ref random),
            "ternary" => Levels(rows, columns, 2, [-half, 0, half], ref random),
            "two-planes" => TwoPlanes(rows, columns, deviation, ref random),
            "table-4" => Table(rows, columns, deviation, ref random),
            "fp6" => Floats(rows, columns, SmallFloat.E2M3, columns, BlockScale.F16, deviation, ref random),
            "fp8" => Floats(rows, columns, SmallFloat.E4M3, columns, BlockScale.F16, deviation, ref random),
            "mxfp6" => Floats(rows, columns, SmallFloat.E2M3, 32, BlockScale.E8M0, deviation, ref random),
            "mxfp8" => Floats(rows, columns, SmallFloat.E4M3, 32, BlockScale.E8M0, deviation, ref random),
            "mxint8" => Floats(rows, columns, SmallFloat.Int8, 32, BlockScale.E8M0, deviation, ref random),
            "nvfp4" => Floats(rows, columns, SmallFloat.E2M1, 16, BlockScale.E4M3, deviation, ref random),
            _ when TryRead(type, "pb-", 1, out double share) => PartiallyBinarized(rows, columns, share, deviation, ref random),
            _ when TryRead(type, Coded, 6, out double bits) => Waterline(rows, columns, bits, deviation, ref random),
            _ => Uniform(rows, columns, TryRead(type, "uniform-", 8, out double gridBits) ? (int)gridBits : 0, deviation, ref random),
        };
        return PackedMatrix.Of(codes, ElementFormat.F16)!;
    }

    private static PartiallyBinarizedCodes PartiallyBinarized(int rows, int columns, double share, float deviation, ref SplitMix64 random)
    {
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits: 1, highBits: 8, lowGroupSize: columns, highGroupSize: columns);
        int salient = (int)Math.Round(share * columns);
        for (int row = 0; row < Math.Min(rows, RowsDrawn); row++)
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
        Repeat(codes.Codes, rows);
        Repeat(codes.Salient, rows);
        Array.Fill(codes.LowScale, deviation / 2);
        Array.Fill(codes.HighScale, deviation / 32);
        Array.Fill(codes.HighZero, (byte)128);
        return codes;
    }

    private static UniformCodes Uniform(int rows, int columns, int bits, float deviation, ref SplitMix64 random)
    {
        UniformCodes codes = new(rows, columns, bits, GroupSize);
        int mask = (1 << bits) - 1;
        Span<byte> drawn = Drawn(codes.Codes, rows);
        RandomBlocks.FillBits(ref random, drawn);
        foreach (ref byte code in drawn) code &= (byte)mask;
        Repeat(codes.Codes, rows);
        Array.Fill(codes.Scales, deviation / (mask / MathF.Sqrt(12)));
        Array.Fill(codes.Zeros, (byte)(mask / 2));
        return codes;
    }

    // m − a − b, m − a + b, m + a − b, m + a + b.
    private static CodebookCodes TwoPlanes(int rows, int columns, float deviation, ref SplitMix64 random)
    {
        float m = (float)(Half)(deviation / 8), a = (float)(Half)deviation, b = (float)(Half)(3 * deviation / 8);
        return Levels(rows, columns, 2, [m - a - b, m - a + b, m + a - b, m + a + b], ref random, twoClasses: true);
    }

    // Normal weights on steps that differ from column to column as the diagonal of a factor does, all wider or narrower until a part of the
    // rows takes as many bits as are asked for.
    private static CompositeCodes Waterline(int rows, int columns, double bits, float deviation, ref SplitMix64 random)
    {
        const double Octaves = 0.7; // the integers of the first two blocks of SmolLM2 at 2.2 bits, all linears: 0.4 to 1.1
        const int Rounds = 20;
        IntegerCodes part = new(Math.Min(rows, 128), columns), codes = new(rows, columns);
        float[] weights = new float[Math.Min(rows, RowsDrawn) * columns], shape = new float[columns], steps = new float[columns];
        for (int i = 0; i < weights.Length; i++) weights[i] = deviation * Normal(ref random);
        for (int c = 0; c < columns; c++) shape[c] = deviation * MathF.Pow(2, MathF.Round(8 * (float)Octaves * Normal(ref random)) / 8);
        double target = bits - 16.0 / rows - IntegerPacking.Overhead(rows, columns) + IntegerPacking.Overhead(part.Rows, columns), narrow = 0.01, wide = 10;
        for (int round = 0; round < Rounds; round++)
        {
            double width = Math.Sqrt(narrow * wide);
            Fill(part.Values, width);
            if (IntegerPacking.Bits(part) > target * part.Values.Length) narrow = width;
            else wide = width;
        }
        Fill(Drawn(codes.Values, rows), wide);
        Repeat(codes.Values, rows);
        return new CompositeCodes(rows, columns, [new CompositeTerm(new ScaledInput(steps), codes)]);

        void Fill(Span<sbyte> values, double width)
        {
            for (int c = 0; c < columns; c++) steps[c] = (float)(Half)(width * shape[c]);
            for (int i = 0; i < values.Length; i++) values[i] = (sbyte)Math.Clamp(MathF.Round(weights[i] / steps[i % columns]), -127, 127);
        }
    }

    private static Span<T> Drawn<T>(T[] values, int rows) => values.AsSpan(0, values.Length / rows * Math.Min(rows, RowsDrawn));

    private static void Repeat<T>(T[] values, int rows)
    {
        Span<T> drawn = Drawn(values, rows);
        for (int first = drawn.Length; first < values.Length; first += drawn.Length)
            drawn[..Math.Min(drawn.Length, values.Length - first)].CopyTo(values.AsSpan(first));
    }

    private static float Normal(ref SplitMix64 random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));

    private static CodebookCodes Levels(int rows, int columns, int bits, ReadOnlySpan<float> levels, ref SplitMix64 random, bool twoClasses = false)
    {
        bool[]? second = twoClasses ? new bool[columns] : null;
        for (int column = 0; twoClasses && column < columns; column++) second![column] = random.Below(10) == 0;
        CodebookCodes codes = new(rows, columns, bits, GroupSize, second);
        foreach (ref byte code in Drawn(codes.Codes, rows)) code = (byte)random.Below(levels.Length);
        Repeat(codes.Codes, rows);
        for (int i = 0; i < codes.Levels.Length; i += 1 << bits) levels.CopyTo(codes.Levels.AsSpan(i));
        return codes;
    }

    private static TableCodes Table(int rows, int columns, float deviation, ref SplitMix64 random)
    {
        TableCodes codes = new(rows, columns, [.. Enumerable.Range(0, 16).Select(i => (i - 7.5f) / 7.5f)], 64);
        Span<byte> drawn = Drawn(codes.Codes, rows);
        RandomBlocks.FillBits(ref random, drawn);
        foreach (ref byte code in drawn) code &= 15;
        Repeat(codes.Codes, rows);
        Array.Fill(codes.Scales, 2 * deviation);
        return codes;
    }

    private static FloatCodes Floats(int rows, int columns, SmallFloat element, int blockSize, BlockScale scale, float deviation, ref SplitMix64 random)
    {
        FloatCodes codes = new(rows, columns, element, blockSize, scale) { MatrixScale = scale == BlockScale.E4M3 ? 2 * deviation / element.Largest : 1 };
        foreach (ref byte code in Drawn(codes.Codes, rows)) code = (byte)element.Encode((2 * (float)random.NextDouble() - 1) * element.Largest);
        Repeat(codes.Codes, rows);
        float size = 2 * deviation / element.Largest;
        Array.Fill(codes.Scales, scale switch { BlockScale.E4M3 => 1, BlockScale.E8M0 => MathF.ScaleB(1, (int)MathF.Round(MathF.Log2(size))), _ => (float)(Half)size });
        return codes;
    }

    private static bool TryRead(string type, string prefix, double most, out double number)
    {
        number = 0;
        return type.StartsWith(prefix, StringComparison.OrdinalIgnoreCase)
            && double.TryParse(type.AsSpan(prefix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number) && number <= most;
    }
}
