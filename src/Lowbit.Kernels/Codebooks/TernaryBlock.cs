using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.Codebooks;

/// <summary>
/// The stored form of 64 codes 0, 1, 2 at 1.625 bits: byte i holds codes 5i to 5i + 4 as the digits of a number in base 3,
/// the first one counting 1; the last byte has four.
/// </summary>
internal static unsafe class TernaryBlock
{
    /// <summary>Bytes of a block.</summary>
    public const int Bytes = 13;

    /// <summary>Bytes that <see cref="Unpack"/> writes.</summary>
    public const int UnpackedBytes = 5 * (Bytes - 1) + sizeof(ulong);

    private const int Digits = 5, Length = CodebookLayout.BlockLength;

    private static readonly ulong[] s_digits = DigitsOfBytes();

    /// <summary>Packs 64 codes.</summary>
    public static void Pack(byte* codes, byte* target)
    {
        for (int i = 0; i < Bytes; i++)
        {
            int number = 0;
            for (int n = Digits - 1; n >= 0; n--) number = 3 * number + (i * Digits + n < Length ? codes[i * Digits + n] : 0);
            target[i] = (byte)number;
        }
    }

    /// <summary>Turns a block into bytes. Bytes above 242, which no packer writes, give some codes 0, 1, 2.</summary>
    /// <param name="block">[<see cref="Bytes"/>].</param>
    /// <param name="codes">[<see cref="UnpackedBytes"/>], of which 64 are codes.</param>
    public static void Unpack(byte* block, byte* codes)
    {
        for (int i = 0; i < Bytes; i++) Unsafe.WriteUnaligned(codes + i * Digits, s_digits[block[i]]);
    }

    private static ulong[] DigitsOfBytes()
    {
        var digits = new ulong[byte.MaxValue + 1];
        for (int number = 0; number < digits.Length; number++)
            for (int n = 0, rest = number; n < Digits; n++, rest /= 3) digits[number] |= (ulong)(rest % 3) << (8 * n);
        return digits;
    }
}
