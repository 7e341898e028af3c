using System;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Models.Conversion;

/// <summary>
/// Rows of random weights written straight as stored bytes: codes are random bits, scales are such that weights have a mean
/// near zero and a deviation of about 1/√columns, so that activations keep their size from block to block.
/// </summary>
internal static unsafe class RandomBlocks
{
    /// <summary>Fills whole rows.</summary>
    /// <param name="format">A plain number or a ggml format.</param>
    /// <param name="columns">Weights of a row, whole blocks.</param>
    /// <param name="random">Source of bits.</param>
    /// <param name="rows">Their bytes.</param>
    public static void Fill(ElementFormat format, int columns, ref SplitMix64 random, Span<byte> rows)
    {
        float deviation = 1 / MathF.Sqrt(columns);
        if (format.BlockLength() == 1)
        {
            FillNumbers(format, deviation, ref random, rows);
            return;
        }
        FillBits(ref random, rows);
        fixed (byte* bytes = rows)
        {
            int size = format.BlockBytes();
            for (int offset = 0; offset < rows.Length; offset += size) SetScales(format, bytes + offset, deviation);
        }
    }

    /// <summary>Fills with random bits.</summary>
    public static void FillBits(ref SplitMix64 random, Span<byte> bytes)
    {
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (int i = 0; i < words.Length; i++) words[i] = random.Next();
        for (int i = words.Length * sizeof(ulong); i < bytes.Length; i++) bytes[i] = (byte)random.Next();
    }

    // Steps are the wanted deviation over that of the codes: (2^b − 1) / √12 for b uniform bits, times the root mean square
    // of the inner scales where there are such. Minimums are chosen so that the mean is near zero.
    private static void SetScales(ElementFormat format, byte* block, float deviation)
    {
        switch (format)
        {
            case ElementFormat.Q4_0: ((BlockQ4_0*)block)->Scale = (Half)(deviation / 4.6f); break;
            case ElementFormat.Q4_1: (((BlockQ4_1*)block)->Scale, ((BlockQ4_1*)block)->Minimum) = ((Half)(deviation / 4.6f), (Half)(deviation / 4.6f * -7.5f)); break;
            case ElementFormat.Q5_0: ((BlockQ5_0*)block)->Scale = (Half)(deviation / 9.2f); break;
            case ElementFormat.Q5_1: (((BlockQ5_1*)block)->Scale, ((BlockQ5_1*)block)->Minimum) = ((Half)(deviation / 9.2f), (Half)(deviation / 9.2f * -15.5f)); break;
            case ElementFormat.Q8_0: SetQ8_0((BlockQ8_0*)block, deviation / 74); break;
            case ElementFormat.Q2_K: (((BlockQ2_K*)block)->Scale, ((BlockQ2_K*)block)->MinimumScale) = ((Half)(deviation / 14), (Half)(deviation / 14 * 1.5f)); break;
            case ElementFormat.Q3_K: ((BlockQ3_K*)block)->Scale = (Half)(deviation / 42); break;
            case ElementFormat.Q4_K: (((BlockQ4_K*)block)->Scale, ((BlockQ4_K*)block)->MinimumScale) = ((Half)(deviation / 260), (Half)(deviation / 260 * 7.5f)); break;
            case ElementFormat.Q5_K: (((BlockQ5_K*)block)->Scale, ((BlockQ5_K*)block)->MinimumScale) = ((Half)(deviation / 530), (Half)(deviation / 530 * 15.5f)); break;
            case ElementFormat.Q6_K: ((BlockQ6_K*)block)->Scale = (Half)(deviation / 1370); break;
            case ElementFormat.IQ4_NL: ((BlockIQ4_NL*)block)->Scale = (Half)(deviation / 70); break;
            case ElementFormat.MXFP4: ((BlockMXFP4*)block)->Exponent = (byte)(128 + (int)MathF.Round(MathF.Log2(deviation / 5.7f))); break;
            case ElementFormat.TQ1_0: ((BlockTQ1_0*)block)->Scale = (Half)(deviation / 0.82f); break;
            case ElementFormat.TQ2_0: SetTernary((BlockTQ2_0*)block, deviation / 0.82f); break;
            default: throw new LowbitException($"--type {format}: random weights of this format cannot be made; choose one of {string.Join(", ", TypeMixture.Names)}.");
        }
    }

    // Encoders give −127 to 127, and products may rely on it.
    private static void SetQ8_0(BlockQ8_0* block, float scale)
    {
        block->Scale = (Half)scale;
        for (int i = 0; i < 32; i++)
        {
            if (block->Codes[i] == sbyte.MinValue) block->Codes[i] = sbyte.MaxValue;
        }
    }

    // Codes are 0, 1 and 2 only: 3 becomes 1 in every other field and 0 in the rest, so that the mean stays near one.
    private static void SetTernary(BlockTQ2_0* block, float scale)
    {
        block->Scale = (Half)scale;
        for (int i = 0; i < 64; i++)
        {
            int code = block->Codes[i], threes = code & (code >> 1) & 0x55;
            block->Codes[i] = (byte)(code - (threes & 0x11) * 3 - (threes & 0x44) * 2);
        }
    }

    private static void FillNumbers(ElementFormat format, float deviation, ref SplitMix64 random, Span<byte> rows)
    {
        int size = format.BlockBytes();
        float range = deviation * MathF.Sqrt(3); // of uniform numbers
        for (int offset = 0; offset < rows.Length; offset += size)
        {
            float value = range * (float)(2 * random.NextDouble() - 1);
            switch (format)
            {
                case ElementFormat.F32: BitConverter.TryWriteBytes(rows[offset..], value); break;
                case ElementFormat.F16: BitConverter.TryWriteBytes(rows[offset..], (Half)value); break;
                case ElementFormat.BF16: BitConverter.TryWriteBytes(rows[offset..], (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)); break;
                default: throw new LowbitException($"--type {format}: random weights of this format cannot be made; choose one of {string.Join(", ", TypeMixture.Names)}.");
            }
        }
    }
}
