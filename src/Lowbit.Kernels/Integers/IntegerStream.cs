using System;
using System.Collections.Generic;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The entropy coder of a chunk of rows: range asymmetric numeral systems (Duda, arXiv 1311.2540) with a state of 32 bits
/// that gives and takes 16 at a time. Integers are coded from the last to the first, so that they are read from the first
/// to the last.
/// </summary>
internal static class IntegerStream
{
    /// <summary>The state lies in [2^16, 2^32), and is this before the last integer is coded and after it is read.</summary>
    public const uint Lowest = 1 << 16;

    /// <summary>Bits of an integer that follows an escape.</summary>
    public const int RawBits = 8;

    private const int ShareBits = SpreadTables.ShareBits;

    /// <summary>Codes rows of a matrix.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="rowClasses">[rows].</param>
    /// <param name="columnClasses">[columns].</param>
    /// <returns>The state, upper half first, and the words in the order of reading.</returns>
    public static ushort[] Encode(ReadOnlySpan<sbyte> values, ReadOnlySpan<byte> rowClasses, ReadOnlySpan<byte> columnClasses)
    {
        var words = new List<ushort>();
        uint state = Lowest;
        for (int i = values.Length - 1; i >= 0; i--)
        {
            int spread = SpreadModel.Cross(rowClasses[i / columnClasses.Length], columnClasses[i % columnClasses.Length]), symbol = values[i] + 128;
            if (SpreadTables.Share(spread, symbol) == 0)
            {
                Put(1 << ShareBits - RawBits, (uint)symbol << ShareBits - RawBits);
                symbol = SpreadTables.Escape;
            }
            Put(SpreadTables.Share(spread, symbol), SpreadTables.Start(spread, symbol));
        }
        words.Add((ushort)state);
        words.Add((ushort)(state >> 16));
        words.Reverse();
        return [.. words];

        void Put(uint share, uint start)
        {
            if (state >= (ulong)share << 32 - ShareBits)
            {
                words.Add((ushort)state);
                state >>= 16;
            }
            state = (state / share << ShareBits) + state % share + start;
        }
    }
}
