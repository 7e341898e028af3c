using System;
using System.Buffers.Binary;
using System.Collections.Generic;

namespace Lowbit.TestKit;

/// <summary>Damaged copies of a valid file, the same for the same seed.</summary>
public static class Mutations
{
    private static readonly ulong[] s_extremes =
        [0, 1, 2, 0x7F, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, ulong.MaxValue, ulong.MaxValue - 31];

    /// <summary>The file cut off at every length below its own, then <paramref name="count"/> random damages.</summary>
    public static IEnumerable<byte[]> Of(byte[] valid, int seed, int count)
    {
        for (int length = 0; length < valid.Length; length++) yield return valid[..length];
        Random random = new(seed);
        for (int i = 0; i < count; i++)
        {
            byte[] copy = [.. valid];
            for (int damages = random.Next(1, 4); damages > 0; damages--) Damage(ref copy, random);
            yield return copy;
        }
    }

    private static void Damage(ref byte[] bytes, Random random)
    {
        // The front is where lengths, counts and offsets are: half of the damages hit there.
        int at = random.Next(random.Next(2) == 0 ? Math.Min(bytes.Length, 64) : bytes.Length);
        switch (random.Next(6))
        {
            case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
            case 1: bytes[at] = (byte)random.Next(256); break;
            case 2: Overwrite(bytes, at, s_extremes[random.Next(s_extremes.Length)], 8); break;
            case 3: Overwrite(bytes, at, s_extremes[random.Next(s_extremes.Length)], 4); break;
            case 4: bytes = [.. bytes[..at], .. bytes[Math.Min(bytes.Length, at + random.Next(1, 9))..], 0]; break;
            default: bytes = [.. bytes[..at], .. bytes[..random.Next(1, 9)], .. bytes[at..]]; break;
        }
    }

    private static void Overwrite(byte[] bytes, int at, ulong value, int width)
    {
        Span<byte> encoded = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(encoded, value);
        encoded[..Math.Min(width, bytes.Length - at)].CopyTo(bytes.AsSpan(at));
    }
}
