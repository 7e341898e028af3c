using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// How often each integer is expected where integers spread as far as a class says: the logistic distribution of scale
/// s_k = 2^((k − 20) / 4), rounded to whole numbers, in shares of 4096. Integers of less than half such a share have
/// none; an escape stands for them.
/// <code>
/// P_k(q) = F((q + ½) / s_k) − F((q − ½) / s_k),   F(x) = 1 / (1 + e^−x)
/// </code>
/// </summary>
/// <remarks>
/// Between a normal and a Laplace distribution, as weights on a grid are whose rows and columns are told apart. Shares come
/// from double precision; none lies so near a half that another machine's exponential function would round it otherwise.
/// </remarks>
internal static class SpreadTables
{
    /// <summary>Number of classes.</summary>
    public const int Classes = 48;

    /// <summary>Bits of a share.</summary>
    public const int ShareBits = 12;

    /// <summary>The symbol after which an integer follows in eight bits; other symbols are integers plus 128.</summary>
    public const int Escape = 256;

    private const int Symbols = Escape + 1, Shares = 1 << ShareBits, CrossingClasses = 2 * Classes - 1; // sums of two classes

    private static readonly ushort[] s_shares = new ushort[Classes * Symbols];
    private static readonly ushort[] s_starts = new ushort[Classes * Symbols];
    private static readonly uint[] s_slots = GC.AllocateArray<uint>(CrossingClasses * Shares, pinned: true); // made when a sum is first read
    private static readonly bool[] s_hasSlots = new bool[CrossingClasses];
    private static readonly float[] s_bits = new float[256 * CrossingClasses];

    static SpreadTables()
    {
        for (int k = 0; k < Classes; k++) Fill(k);
        for (int symbol = 0; symbol < Escape; symbol++)
            for (int sum = 0; sum < CrossingClasses; sum++) s_bits[symbol * CrossingClasses + sum] = BitsOf(symbol, SpreadModel.Cross(sum, 0));
    }

    /// <summary>Scale of the logistic distribution of a class.</summary>
    public static double Scale(int spread) => Math.Pow(2, (spread - 20) / 4.0);

    /// <summary>The share of an integer in a class before rounding.</summary>
    public static double ExactShare(int spread, int value)
    {
        double scale = Scale(spread);
        // F(b) − F(a) without cancellation: both ends are on the negative side, by symmetry.
        double a = (-Math.Abs(value) - 0.5) / scale, b = (-Math.Abs(value) + 0.5) / scale;
        double upper = value == 0 ? 1 / (1 + Math.Exp(a)) : Math.Exp(b) / (1 + Math.Exp(b));
        return Shares * (upper - Math.Exp(a) / (1 + Math.Exp(a)));
    }

    /// <summary>Shares of a symbol in a class; 0 if it has none.</summary>
    public static uint Share(int spread, int symbol) => s_shares[spread * Symbols + symbol];

    /// <summary>Shares of all symbols before it.</summary>
    public static uint Start(int spread, int symbol) => s_starts[spread * Symbols + symbol];

    /// <summary>Makes <see cref="Slots"/> ready for the integers of a matrix.</summary>
    /// <param name="rowClasses">[rows].</param>
    /// <param name="columnClasses">[columns].</param>
    public static void MakeSlots(ReadOnlySpan<byte> rowClasses, ReadOnlySpan<byte> columnClasses)
    {
        for (byte row = 0; row < Classes; row++)
            for (byte column = 0; column < Classes && rowClasses.Contains(row); column++)
            {
                int sum = row + column, spread = SpreadModel.Cross(row, column);
                if (Volatile.Read(ref s_hasSlots[sum]) || !columnClasses.Contains(column)) continue;
                Span<uint> slots = s_slots.AsSpan(sum * Shares, Shares);
                for (int symbol = 0; symbol < Symbols; symbol++)
                {
                    uint slot = symbol == Escape ? 0 : (byte)(symbol - 128) | Share(spread, symbol) << 8;
                    for (uint i = 0; i < Share(spread, symbol); i++) slots[(int)(Start(spread, symbol) + i)] = slot | i << 20;
                }
                Volatile.Write(ref s_hasSlots[sum], true); // two threads may write the same
            }
    }

    /// <summary>
    /// [sums of a row's and a column's class, 4096] what a share says: bits 0 to 7 are the integer to which it belongs, 8 to 19 the
    /// integer's shares, 20 to 31 how many of them are before this one. The escape has nothing but these last.
    /// </summary>
    public static unsafe uint* Slots => (uint*)Marshal.UnsafeAddrOfPinnedArrayElement(s_slots, 0);

    /// <summary>Bits of an integer where a class crosses each of the 48, see <see cref="SpreadModel.Cross"/>.</summary>
    /// <param name="symbol">The integer plus 128.</param>
    /// <param name="crossing">The class.</param>
    public static ReadOnlySpan<float> Bits(int symbol, int crossing) => s_bits.AsSpan(symbol * CrossingClasses + crossing, Classes);

    private static void Fill(int spread)
    {
        Span<ushort> shares = s_shares.AsSpan(spread * Symbols, Symbols);
        int sum = 0;
        for (int symbol = 0; symbol < Escape; symbol++)
        {
            shares[symbol] = (ushort)Math.Round(ExactShare(spread, symbol - 128));
            sum += shares[symbol];
        }
        // The escape takes what is left, at least one share; zero, the most frequent integer, gives or takes the difference.
        shares[Escape] = (ushort)Math.Max(1, Shares - sum);
        shares[128] = (ushort)(shares[128] + Shares - sum - shares[Escape]);
        int start = 0;
        for (int symbol = 0; symbol < Symbols; symbol++)
        {
            s_starts[spread * Symbols + symbol] = (ushort)start;
            start += shares[symbol];
        }
    }

    private static float BitsOf(int symbol, int spread) => Share(spread, symbol) > 0
        ? ShareBits - MathF.Log2(Share(spread, symbol))
        : 8 + ShareBits - MathF.Log2(Share(spread, Escape));
}
