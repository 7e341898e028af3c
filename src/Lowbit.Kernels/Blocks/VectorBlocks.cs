using System;
using System.Runtime.Intrinsics;
using Lowbit.Core;

namespace Lowbit.Kernels.Blocks;

/// <summary>The vector twins of the formats that models are mostly stored in; the same bits as the scalar code.</summary>
internal static unsafe class VectorBlocks
{
    /// <summary>Returns false, with nothing done, where the format has no twin.</summary>
    internal static bool ToFloat(ElementFormat format, byte* source, long blocks, float* destination)
    {
        switch (format)
        {
            case ElementFormat.F16: F16((Half*)source, blocks, destination); return true;
            case ElementFormat.BF16: BF16((ushort*)source, blocks, destination); return true;
            case ElementFormat.Q8_0: Q8_0((BlockQ8_0*)source, blocks, destination); return true;
            case ElementFormat.Q4_0: Q4_0((BlockQ4_0*)source, blocks, destination); return true;
            case ElementFormat.Q4_1: Q4_1((BlockQ4_1*)source, blocks, destination); return true;
            default: return false;
        }
    }

    private static void F16(Half* source, long elements, float* destination)
    {
        long i = 0;
        for (; i <= elements - 16; i += 16)
        {
            Vector256<ushort> halves = Vector256.Load((ushort*)source + i);
            if (Vector256.GreaterThanOrEqualAny(halves & Vector256.Create((ushort)0x7FFF), Vector256.Create((ushort)0x7C00)))
            {
                (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(halves);
                HalfToFloat(low).Store(destination + i);
                HalfToFloat(high).Store(destination + i + 8);
                continue;
            }
            (Vector256<int> lower, Vector256<int> upper) = Vector256.Widen(halves.AsInt16());
            FiniteHalf.ToFloat(lower).Store(destination + i);
            FiniteHalf.ToFloat(upper).Store(destination + i + 8);
        }
        PlainNumbers.F16(source + i, elements - i, destination + i);
    }

    private static void BF16(ushort* source, long elements, float* destination)
    {
        long i = 0;
        for (; i <= elements - 16; i += 16)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load(source + i));
            (low << 16).AsSingle().Store(destination + i);
            (high << 16).AsSingle().Store(destination + i + 8);
        }
        PlainNumbers.BF16(source + i, elements - i, destination + i);
    }

    private static void Q8_0(BlockQ8_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
            Scale(Vector256.Load(block->Codes), Vector256.Create((float)block->Scale), w);
    }

    private static void Q4_0(BlockQ4_0* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
            Scale(Nibbles(block->Codes) - Vector256.Create((sbyte)8), Vector256.Create((float)block->Scale), w);
    }

    private static void Q4_1(BlockQ4_1* block, long blocks, float* w)
    {
        for (; blocks > 0; blocks--, block++, w += 32)
        {
            Scale(Nibbles(block->Codes), Vector256.Create((float)block->Scale), w);
            Vector256<float> minimum = Vector256.Create((float)block->Minimum);
            for (int i = 0; i < 32; i += 8) (Vector256.Load(w + i) + minimum).Store(w + i);
        }
    }

    /// <summary>16 bytes as 32 codes: the low nibbles, then the high ones.</summary>
    private static Vector256<sbyte> Nibbles(byte* codes)
    {
        Vector128<byte> pairs = Vector128.Load(codes), mask = Vector128.Create((byte)0xF);
        return Vector256.Create(pairs & mask, (pairs.AsUInt16() >>> 4).AsByte() & mask).AsSByte();
    }

    private static void Scale(Vector256<sbyte> codes, Vector256<float> scale, float* w)
    {
        (Vector256<short> low, Vector256<short> high) = Vector256.Widen(codes);
        (Vector256<int> a, Vector256<int> b) = Vector256.Widen(low);
        (Vector256<int> c, Vector256<int> d) = Vector256.Widen(high);
        (Vector256.ConvertToSingle(a) * scale).Store(w);
        (Vector256.ConvertToSingle(b) * scale).Store(w + 8);
        (Vector256.ConvertToSingle(c) * scale).Store(w + 16);
        (Vector256.ConvertToSingle(d) * scale).Store(w + 24);
    }

    // Exponent and fraction moved into their places mean a number 2^112 times too small, denormals included, so one exact
    // multiplication puts it right. Infinity and NaN need the full exponent instead, and NaN is made quiet.
    private static Vector256<float> HalfToFloat(Vector256<uint> half)
    {
        Vector256<uint> magnitude = (half & Vector256.Create(0x7FFFu)) << 13;
        Vector256<uint> finite = (magnitude.AsSingle() * Vector256.Create(FiniteHalf.Factor)).AsUInt32();
        Vector256<uint> infinity = Vector256.Create(0x7C00u << 13);
        Vector256<uint> quiet = Vector256.GreaterThan(magnitude, infinity) & Vector256.Create(0x0040_0000u);
        Vector256<uint> special = magnitude | Vector256.Create(0x7F80_0000u) | quiet;
        Vector256<uint> value = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, infinity), finite, special);
        return (value | (half & Vector256.Create(0x8000u)) << 16).AsSingle();
    }
}
