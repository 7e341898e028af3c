using System;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Codes of 1 to 8 bits, one after the other, lowest bit first, as bytes.</summary>
internal static unsafe class CodeStream
{
    /// <summary>Bytes of a number of codes.</summary>
    public static long Bytes(long count, int bits) => (count * bits + 7) / 8;

    /// <summary>Writes one code; the bits of the target are zero before.</summary>
    public static void Write(Span<byte> stream, long index, int bits, int code)
    {
        long bit = index * bits;
        int shifted = code << (int)(bit & 7);
        stream[(int)(bit >> 3)] |= (byte)shifted;
        if (shifted > byte.MaxValue) stream[(int)(bit >> 3) + 1] |= (byte)(shifted >> 8);
    }

    /// <summary>Turns codes into bytes, eight at a time.</summary>
    /// <param name="stream">Exactly <see cref="Bytes"/> bytes are read.</param>
    /// <param name="count">Number of codes.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="codes">[<paramref name="count"/> rounded up to a multiple of 8].</param>
    public static void Unpack(byte* stream, int count, int bits, byte* codes)
    {
        byte* end = stream + Bytes(count, bits);
        // Eight codes take `bits` bytes; halves are moved apart three times: 4 and 4 codes, 2 and 2, 1 and 1.
        ulong four = (1UL << 4 * bits) - 1;
        ulong two = ((1UL << 2 * bits) - 1) * 0x0000_0001_0000_0001;
        ulong one = ((1UL << bits) - 1) * 0x0001_0001_0001_0001;
        for (int i = 0; i < count; i += 8, stream += bits, codes += 8)
        {
            ulong word;
            if (end - stream >= sizeof(ulong))
            {
                word = *(ulong*)stream;
            }
            else
            {
                word = 0;
                for (int k = 0; k < Math.Min(bits, end - stream); k++) word |= (ulong)stream[k] << 8 * k;
            }
            word = (word & four) | (word >> 4 * bits & four) << 32;
            word = (word & two) | (word >> 2 * bits & two) << 16;
            word = (word & one) | (word >> bits & one) << 8;
            *(ulong*)codes = word;
        }
    }
}
