using System;
using System.Collections.Generic;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The entropy coder of a chunk of rows: range asymmetric numeral systems (Duda, arXiv 1311.2540) with states of 32 bits
/// that give and take 16 at a time. Eight rows have a state each and share the words, column by column and row by row, and the next eight go on
/// with their states. Integers are coded from the last to the first, so that they are read from the first to the last.
/// </summary>
internal static class IntegerStream
{
    /// <summary>Rows with states of their own.</summary>
    public const int Lanes = 8;

    /// <summary>A state lies in [2^16, 2^32), and is this before the last integer is coded and after it is read.</summary>
    public const uint Lowest = 1 << 16;

    /// <summary>Bits of an integer that follows an escape.</summary>
    public const int RawBits = 8;

    private const int ShareBits = SpreadTables.ShareBits;

    /// <summary>Codes rows of a matrix.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="rowClasses">[rows]; rows beyond the last, up to a multiple of eight, are zeros of class 0.</param>
    /// <param name="columnClasses">[columns].</param>
    /// <returns>The eight states, upper half first, and the words in the order of reading.</returns>
    public static ushort[] Encode(ReadOnlySpan<sbyte> values, ReadOnlySpan<byte> rowClasses, ReadOnlySpan<byte> columnClasses)
    {
        var words = new List<ushort>();
        Span<uint> states = stackalloc uint[Lanes];
        states.Fill(Lowest);
        int rows = rowClasses.Length, columns = columnClasses.Length;
        for (int first = (rows - 1) / Lanes * Lanes; first >= 0; first -= Lanes)
            for (int c = columns - 1; c >= 0; c--)
                for (int lane = Lanes - 1; lane >= 0; lane--)
                {
                    int row = first + lane;
                    int rowClass = row < rows ? rowClasses[row] : 0, value = row < rows ? values[row * columns + c] : 0;
                    Put(value + 128, SpreadModel.Cross(rowClass, columnClasses[c]), ref states[lane], words);
                }
        for (int lane = Lanes - 1; lane >= 0; lane--)
        {
            words.Add((ushort)states[lane]);
            words.Add((ushort)(states[lane] >> 16));
        }
        words.Reverse();
        return [.. words];
    }

    private static void Put(int symbol, int spread, ref uint state, List<ushort> words)
    {
        if (SpreadTables.Share(spread, symbol) == 0)
        {
            Put(1 << ShareBits - RawBits, (uint)symbol << ShareBits - RawBits, ref state, words);
            symbol = SpreadTables.Escape;
        }
        Put(SpreadTables.Share(spread, symbol), SpreadTables.Start(spread, symbol), ref state, words);
    }

    private static void Put(uint share, uint start, ref uint state, List<ushort> words)
    {
        if (state >= (ulong)share << 32 - ShareBits)
        {
            words.Add((ushort)state);
            state >>= 16;
        }
        state = (state / share << ShareBits) + state % share + start;
    }
}
