using System;
using System.Text;

namespace Lowbit.Tokenizers;

/// <summary>
/// The printable characters that stand for the 256 bytes in the files of byte-level tokenizers (GPT-2): a byte that is a
/// printable Latin-1 character stands for itself, the other 68 are U+0100 and following, in order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly short[] s_byteOf = BuildInverse();

    private static short[] BuildInverse()
    {
        short[] byteOf = new short[0x100 + 68];
        Array.Fill<short>(byteOf, -1);
        int shifted = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            byteOf[printable ? value : shifted++] = (short)value;
        }
        return byteOf;
    }

    /// <summary>The characters that stand for bytes.</summary>
    public static string Text(byte[] bytes) => string.Create(bytes.Length, bytes, (text, source) =>
    {
        for (int i = 0; i < source.Length; i++) text[i] = (char)Array.IndexOf(s_byteOf, (short)source[i]);
    });

    /// <summary>The bytes that a token of the file stands for; its UTF-8 bytes when a character is not of the alphabet.</summary>
    public static byte[] Bytes(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
        {
            if (token[i] >= s_byteOf.Length || s_byteOf[token[i]] < 0) return Encoding.UTF8.GetBytes(token);
            bytes[i] = (byte)s_byteOf[token[i]];
        }
        return bytes;
    }
}
