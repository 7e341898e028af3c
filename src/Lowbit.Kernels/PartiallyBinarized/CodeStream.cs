using System;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Codes of 1 to 8 bits, one after the other, lowest bit first, as bytes.</summary>
internal static unsafe class CodeStream
{
    private static readonly byte* s_places = PlaceTable();

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

    /// <summary>Turns codes into bytes.</summary>
    /// <param name="stream">The first code.</param>
    /// <param name="end">Where reading must stop; all codes lie before it.</param>
    /// <param name="count">Number of codes.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="codes">[<paramref name="count"/> rounded up to a multiple of 16].</param>
    public static void Unpack(byte* stream, byte* end, int count, int bits, byte* codes)
    {
        int i = 0;
        if (Avx2.IsSupported) i = UnpackAvx2(ref stream, end, count, bits, codes);
        // Eight codes take `bits` bytes; halves are moved apart three times: 4 and 4 codes, 2 and 2, 1 and 1.
        ulong four = (1UL << 4 * bits) - 1;
        ulong two = ((1UL << 2 * bits) - 1) * 0x0000_0001_0000_0001;
        ulong one = ((1UL << bits) - 1) * 0x0001_0001_0001_0001;
        for (; i < count; i += 8, stream += bits)
        {
            ulong word = 0;
            if (end - stream >= sizeof(ulong)) word = *(ulong*)stream;
            else Buffer.MemoryCopy(stream, &word, sizeof(ulong), end - stream);
            word = (word & four) | (word >> 4 * bits & four) << 32;
            word = (word & two) | (word >> 2 * bits & two) << 16;
            word = (word & one) | (word >> bits & one) << 8;
            *(ulong*)(codes + i) = word;
        }
    }

    // Sixteen codes a step, as many steps as whole vectors can be read. Every code lies in two bytes, which are moved into a
    // 16-bit lane; with s the place of its lowest bit, the upper byte of the lane times 2^(8 - s) begins with the code.
    private static int UnpackAvx2(ref byte* stream, byte* end, int count, int bits, byte* codes)
    {
        Vector256<byte> place = Vector256.Load(s_places + 64 * bits);
        Vector256<ushort> factor = Vector256.Load((ushort*)(s_places + 64 * bits + 32)), mask = Vector256.Create((ushort)((1 << bits) - 1));
        int i = 0;
        for (; i < count && end - stream >= bits + 16; i += 16, stream += 2 * bits)
        {
            Vector256<byte> source = Vector256.Create(Vector128.Load(stream), Vector128.Load(stream + bits));
            Vector256<ushort> lanes = Vector256.ShiftRightLogical(Avx2.Shuffle(source, place).AsUInt16() * factor, 8) & mask;
            Sse2.PackUnsignedSaturate(lanes.GetLower().AsInt16(), lanes.GetUpper().AsInt16()).Store(codes + i);
        }
        return i;
    }

    // For each width 32 indexes of bytes and 16 factors.
    private static byte* PlaceTable()
    {
        byte* table = (byte*)NativeMemory.AlignedAlloc(9 * 64, 64);
        for (int bits = 0; bits <= 8; bits++)
        {
            for (int code = 0; code < 16; code++)
            {
                int bit = code % 8 * bits;
                table[64 * bits + 2 * code] = (byte)(bit / 8);
                table[64 * bits + 2 * code + 1] = (byte)(bit / 8 + 1);
                ((ushort*)(table + 64 * bits + 32))[code] = (ushort)(256 >> bit % 8);
            }
        }
        return table;
    }
}
