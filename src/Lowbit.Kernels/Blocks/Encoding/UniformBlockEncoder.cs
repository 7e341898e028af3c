using System;

namespace Lowbit.Kernels.Blocks.Encoding;

/// <summary>Blocks of 32 weights on an evenly spaced grid: the twin of <see cref="UniformBlocks"/>.</summary>
internal static unsafe class UniformBlockEncoder
{
    private const int Length = 32;

    internal static void Q4_0(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ4_0 block)
    {
        Span<float> codes = stackalloc float[Length];
        block.Scale = Centred(x, importance, -8, 7, codes);
        for (int i = 0; i < 16; i++) block.Codes[i] = (byte)((int)codes[i] + 8 | (int)codes[i + 16] + 8 << 4);
    }

    internal static void Q4_1(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ4_1 block)
    {
        Span<float> codes = stackalloc float[Length];
        (block.Scale, block.Minimum) = WithMinimum(x, importance, 15, codes);
        for (int i = 0; i < 16; i++) block.Codes[i] = (byte)((int)codes[i] | (int)codes[i + 16] << 4);
    }

    internal static void Q5_0(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ5_0 block)
    {
        Span<float> codes = stackalloc float[Length];
        block.Scale = Centred(x, importance, -16, 15, codes);
        foreach (ref float code in codes) code += 16;
        for (int i = 0; i < 16; i++) block.Codes[i] = LowNibbles(codes, i);
        block.HighBits = FifthBits(codes);
    }

    internal static void Q5_1(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, ref BlockQ5_1 block)
    {
        Span<float> codes = stackalloc float[Length];
        (block.Scale, block.Minimum) = WithMinimum(x, importance, 31, codes);
        for (int i = 0; i < 16; i++) block.Codes[i] = LowNibbles(codes, i);
        block.HighBits = FifthBits(codes);
    }

    // d = max|x| / 127, q = round(x / d), halves away from zero, as ggml's quantize_row_q8_0_ref has it.
    internal static void Q8_0(ReadOnlySpan<float> x, ref BlockQ8_0 block)
    {
        float largest = 0;
        foreach (float value in x) largest = MathF.Max(largest, MathF.Abs(value));
        float scale = largest / 127, inverse = scale == 0 ? 0 : 1 / scale;
        block.Scale = HalfScale.Round(scale);
        for (int i = 0; i < Length; i++) block.Codes[i] = (sbyte)MathF.Round(x[i] * inverse, MidpointRounding.AwayFromZero);
    }

    private static Half Centred(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int lowest, int highest, Span<float> codes)
    {
        Half scale = HalfScale.Round(GridSearch.Symmetric(x, importance, lowest, highest));
        GridSearch.Round(x, (float)scale, 0, lowest, highest, codes);
        return scale;
    }

    private static (Half Scale, Half Minimum) WithMinimum(ReadOnlySpan<float> x, ReadOnlySpan<float> importance, int highest, Span<float> codes)
    {
        (float step, float offset) = GridSearch.Asymmetric(x, importance, highest, belowZero: false);
        Half scale = HalfScale.Round(step), minimum = HalfScale.Round(offset);
        GridSearch.Round(x, (float)scale, (float)minimum, 0, highest, codes);
        return (scale, minimum);
    }

    private static byte LowNibbles(ReadOnlySpan<float> codes, int i) => (byte)((int)codes[i] & 0xF | ((int)codes[i + 16] & 0xF) << 4);

    private static uint FifthBits(ReadOnlySpan<float> codes)
    {
        uint bits = 0;
        for (int i = 0; i < Length; i++) bits |= (uint)((int)codes[i] >> 4) << i;
        return bits;
    }
}
