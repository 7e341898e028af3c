using System;
using System.Runtime.Intrinsics;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels;

/// <summary>
/// Keys and values as halves and blocks, in one pass without a search: they are written while the model runs. Codes are
/// multiples of the scale as it is stored, rounded with halves to even. Every vector form has a scalar oracle.
/// </summary>
internal static unsafe class CacheEncoding
{
    private const int Length = 32;

    /// <summary>Eight floats to the nearest halves.</summary>
    public static void Halves(float* source, ushort* target) =>
        Vector128.Narrow(ToHalf(Vector128.Load(source)), ToHalf(Vector128.Load(source + 4))).Store(target);

    public static void Q8_0(float* x, BlockQ8_0* block)
    {
        if (!Vector128.IsHardwareAccelerated)
        {
            Q8_0Scalar(x, block);
            return;
        }
        (float smallest, float largest) = Range(x);
        float factor = Step(MathF.Max(-smallest, largest) / 127, out block->Scale);
        for (int i = 0; i < Length; i += 16) Codes(x + i, factor, -127, 127).Store(block->Codes + i);
    }

    public static void Q8_0Scalar(float* x, BlockQ8_0* block)
    {
        (float smallest, float largest) = RangeScalar(x);
        float factor = Step(MathF.Max(-smallest, largest) / 127, out block->Scale);
        for (int i = 0; i < Length; i++) block->Codes[i] = (sbyte)Code(x[i], factor, -127, 127);
    }

    public static void Q4_0(float* x, BlockQ4_0* block)
    {
        if (!Vector128.IsHardwareAccelerated)
        {
            Q4_0Scalar(x, block);
            return;
        }
        float factor = Step(Farthest(Range(x)) / -8, out block->Scale);
        Vector128<sbyte> low = Codes(x, factor, -8, 7) + Vector128.Create((sbyte)8), high = Codes(x + 16, factor, -8, 7) + Vector128.Create((sbyte)8);
        (low.AsByte() | (high.AsUInt16() << 4).AsByte()).Store(block->Codes); // nothing is shifted out: codes are below 16
    }

    public static void Q4_0Scalar(float* x, BlockQ4_0* block)
    {
        float factor = Step(Farthest(RangeScalar(x)) / -8, out block->Scale);
        for (int i = 0; i < 16; i++) block->Codes[i] = (byte)(Code(x[i], factor, -8, 7) + 8 | Code(x[i + 16], factor, -8, 7) + 8 << 4);
    }

    // The code −8 reaches farther than 7, so it goes to the element farthest from zero.
    private static float Farthest((float Smallest, float Largest) range) => range.Largest >= -range.Smallest ? range.Largest : range.Smallest;

    // The scale as it is stored, and its inverse: 0 for a block that is all zero, or not finite and so NaN.
    private static float Step(float exact, out Half scale)
    {
        scale = (Half)exact;
        if (!Half.IsFinite(scale)) scale = Half.NaN;
        return Half.IsFinite(scale) && scale != default ? 1 / (float)scale : 0;
    }

    private static int Code(float x, float factor, int lowest, int highest) => factor == 0 ? 0 : (int)Math.Clamp(MathF.Round(x * factor), lowest, highest);

    private static Vector128<sbyte> Codes(float* x, float factor, int lowest, int highest)
    {
        if (factor == 0) return default;
        return Vector128.Narrow(
            Vector128.Narrow(Code(Vector128.Load(x), factor, lowest, highest), Code(Vector128.Load(x + 4), factor, lowest, highest)),
            Vector128.Narrow(Code(Vector128.Load(x + 8), factor, lowest, highest), Code(Vector128.Load(x + 12), factor, lowest, highest)));
    }

    private static Vector128<int> Code(Vector128<float> x, float factor, int lowest, int highest) =>
        Vector128.ConvertToInt32(Vector128.Clamp(Vector128.Round(x * factor), Vector128.Create((float)lowest), Vector128.Create((float)highest)));

    private static (float Smallest, float Largest) RangeScalar(float* x)
    {
        float smallest = x[0], largest = x[0];
        for (int i = 1; i < Length; i++) (smallest, largest) = (MathF.Min(smallest, x[i]), MathF.Max(largest, x[i]));
        return (smallest, largest);
    }

    // Min and Max pass NaN on.
    private static (float Smallest, float Largest) Range(float* x)
    {
        Vector128<float> smallest = Vector128.Load(x), largest = smallest;
        for (int i = 4; i < Length; i += 4)
        {
            Vector128<float> next = Vector128.Load(x + i);
            (smallest, largest) = (Vector128.Min(smallest, next), Vector128.Max(largest, next));
        }
        return (
            MathF.Min(MathF.Min(smallest[0], smallest[1]), MathF.Min(smallest[2], smallest[3])),
            MathF.Max(MathF.Max(largest[0], largest[1]), MathF.Max(largest[2], largest[3])));
    }

    // Added to a number of the exponent e, 2^(e+13) leaves ten bits of its fraction, rounded to even; numbers below 2^-14 keep
    // multiples of 2^-24. What remains, times 2^-112, has the bits of the half at the upper end of a float's without its sign.
    private static Vector128<uint> ToHalf(Vector128<float> x)
    {
        Vector128<float> magnitude = Vector128.Min(Vector128.Abs(x), Vector128.Create(65536f)); // 65536 becomes ∞
        Vector128<uint> exponent = Vector128.Max(magnitude, Vector128.Create(6.103515625e-05f)).AsUInt32() & Vector128.Create(0x7F80_0000u);
        Vector128<float> magic = (exponent + Vector128.Create(13u << 23)).AsSingle();
        Vector128<uint> half = (((magnitude + magic) - magic) * Vector128.Create(1.925929944387236e-34f)).AsUInt32() >> 13;
        half = Vector128.ConditionalSelect(Vector128.Equals(x, x).AsUInt32(), half, Vector128.Create(0x7E00u));
        return half | (x.AsUInt32() >> 16 & Vector128.Create(0x8000u));
    }
}
