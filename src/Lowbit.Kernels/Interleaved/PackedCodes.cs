using System.Runtime.CompilerServices;
using Lowbit.Kernels.Blocks;

namespace Lowbit.Kernels.Interleaved;

/// <summary>Codes of 2 bits as ggml packs 256 of them: halves of 128, four planes of 32 in a byte.</summary>
internal static unsafe class TwoBitCodes
{
    /// <summary>Code i of a block.</summary>
    public static int Read(byte* codes, int i) => codes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;

    /// <summary>Step <paramref name="step"/> of the four units of a chunk, the first unit in the low bits.</summary>
    public static uint Lane(uint* codes, int chunk, int step)
    {
        uint* half = codes + chunk / 2 * 8;
        int shift = chunk % 2 * 4;
        return half[step] >> shift & 0x03030303 | (half[step + 4] >> shift & 0x03030303) << 2
            | (half[step] >> shift + 2 & 0x03030303) << 4 | (half[step + 4] >> shift + 2 & 0x03030303) << 6;
    }
}

/// <summary>Codes of one bit, beside others that hold the lower bits.</summary>
internal static unsafe class OneBitCodes
{
    /// <summary>The bits of 32 columns of a half as a lane: those of step s of unit u are bit 4 (u % 2) + s of the four bytes.</summary>
    public static uint Lane(uint bits)
    {
        uint lane = 0;
        for (int i = 0; i < 8; i++) lane |= ((bits >> 4 * i & 0xF) * 0x00204081 & 0x01010101) << i; // bit j of four to byte j
        return lane;
    }

    /// <summary>The same of bit <paramref name="plane"/> of 32 bytes.</summary>
    public static uint Lane(uint* bytes, int plane)
    {
        uint lane = 0;
        for (int i = 0; i < 8; i++) lane |= (bytes[i] >> plane & 0x01010101) << i;
        return lane;
    }

    /// <summary>The bits of a step, moved to <paramref name="position"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* vectors, int unit, int step, int position) where TLanes : struct, ILanes<TVector> where TVector : struct =>
        TLanes.WhereSet(vectors + IBlockFormat.Vector * (unit / 2), unit % 2 * 4 + step, (byte)(1 << position));
}

/// <summary>The scales and minimums of 6 bits of <see cref="BlockQ4_K"/>.</summary>
internal static unsafe class SixBitScales
{
    /// <summary>s of the two halves of a chunk, then m of them.</summary>
    public static uint Lane(byte* scales, int chunk)
    {
        (int s0, int m0) = Pair(scales, 2 * chunk);
        (int s1, int m1) = Pair(scales, 2 * chunk + 1);
        return (uint)(s0 | s1 << 8 | m0 << 16 | m1 << 24);
    }

    public static void Read(byte* scales, int chunk, ref ChunkNumbers numbers)
    {
        for (int unit = 0; unit < 4; unit++) (numbers.Scales[unit], numbers.Minimums[unit]) = Pair(scales, 2 * chunk + unit / 2);
    }

    private static (int Scale, int Minimum) Pair(byte* scales, int sub) => sub < 4
        ? (scales[sub] & 63, scales[sub + 4] & 63)
        : (scales[sub + 4] & 0xF | scales[sub - 4] >> 6 << 4, scales[sub + 4] >> 4 | scales[sub] >> 6 << 4);
}
