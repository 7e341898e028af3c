using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// The entropy coder of a chunk of rows: range asymmetric numeral systems (Duda, arXiv 1311.2540) with a state of 32 bits
/// that gives and takes 16 at a time. Integers are coded from the last to the first, so that they are read from the first
/// to the last.
/// </summary>
internal static class IntegerStream
{
    private const uint Lowest = 1 << 16; // the state lies in [2^16, 2^32)
    private const int ShareBits = SpreadTables.ShareBits, RawBits = 8;

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

    /// <summary>Reads rows of a matrix.</summary>
    /// <param name="name">Tensor that the words come from, for messages.</param>
    /// <param name="words">What <see cref="Encode"/> gave.</param>
    /// <param name="rowClasses">[rows], below <see cref="SpreadTables.Classes"/>.</param>
    /// <param name="columnClasses">[columns], below <see cref="SpreadTables.Classes"/>.</param>
    /// <param name="values">[rows, columns], overwritten.</param>
    /// <exception cref="LowbitException">The words are not what a coder would have written.</exception>
    public static void Decode(string name, ReadOnlySpan<ushort> words, ReadOnlySpan<byte> rowClasses, ReadOnlySpan<byte> columnClasses, Span<sbyte> values)
    {
        if (words.Length < 2) throw Damaged(name);
        uint state = (uint)words[0] << 16 | words[1];
        if (state < Lowest) throw Damaged(name);
        int next = 2, i = 0;
        foreach (byte rowClass in rowClasses)
            foreach (byte columnClass in columnClasses)
            {
                int spread = SpreadModel.Cross(rowClass, columnClass);
                uint share = state & (1 << ShareBits) - 1;
                int symbol = SpreadTables.Symbol(spread, share);
                state = SpreadTables.Share(spread, symbol) * (state >> ShareBits) + share - SpreadTables.Start(spread, symbol);
                if (state < Lowest)
                {
                    if (next == words.Length) throw Damaged(name);
                    state = state << 16 | words[next++];
                }
                if (symbol == SpreadTables.Escape)
                {
                    share = state & (1 << ShareBits) - 1;
                    symbol = (int)(share >> ShareBits - RawBits);
                    state = ((state >> ShareBits) << ShareBits - RawBits) + (share & (1 << ShareBits - RawBits) - 1);
                    if (state < Lowest)
                    {
                        if (next == words.Length) throw Damaged(name);
                        state = state << 16 | words[next++];
                    }
                }
                values[i++] = (sbyte)(symbol - 128);
            }
        if (state != Lowest || next != words.Length) throw Damaged(name);
    }

    private static LowbitException Damaged(string name) =>
        new($"tensor {name}: the coded integers end in another state than a coder leaves; the file is damaged.");
}
