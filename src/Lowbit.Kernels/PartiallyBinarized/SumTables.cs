using System.Runtime.Intrinsics;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Sums of four activations for every choice among them, so that a sum over the ones of a bit plane takes one look-up for four weights.
/// Per token and block of 64 columns there are two tables, for the columns 8 j + i with j below four and the others; entry 8 n + i is
/// 512 plus the sum of x[8 j + i] over the bits j of n, as 128 lower bytes and then 128 upper ones.
/// </summary>
internal static unsafe class SumTables
{
    /// <summary>Bytes of the tables of a block.</summary>
    public const int BlockBytes = 512;

    /// <summary>What is in the 16 entries of a row of a block too much.</summary>
    public const int Offset = 16 * 512;

    /// <summary>Makes the tables of one block.</summary>
    /// <param name="x">[64] activations.</param>
    /// <param name="tables">[<see cref="BlockBytes"/>].</param>
    public static void Make(sbyte* x, byte* tables)
    {
        for (int half = 0; half < 2; half++, x += 32, tables += 256)
        {
            Vector128<short> x0 = Widened(x), x1 = Widened(x + 8), x2 = Widened(x + 16), x3 = Widened(x + 24), start = Vector128.Create((short)512);
            Vector256<short> lower = Vector256.Create(start, start + x0), sums = Vector256.Create(x1, x1);
            Vector512<short> four = Vector512.Create(lower, lower + sums);
            Vector512<short> third = Vector512.Create(Vector256.Create(x2, x2), Vector256.Create(x2, x2)), fourth = Vector512.Create(Vector256.Create(x3, x3), Vector256.Create(x3, x3));
            Store(four, tables);
            Store(four + third, tables + 32);
            Store(four + fourth, tables + 64);
            Store(four + third + fourth, tables + 96);
        }
    }

    private static Vector128<short> Widened(sbyte* x) => Vector128.WidenLower(Vector128.CreateScalar(*(ulong*)x).AsSByte());

    private static void Store(Vector512<short> sums, byte* table)
    {
        Vector512<ushort> lower = sums.AsUInt16() & Vector512.Create((ushort)255), upper = Vector512.ShiftRightLogical(sums.AsUInt16(), 8);
        Vector512.Narrow(lower, lower).GetLower().Store(table);
        Vector512.Narrow(upper, upper).GetLower().Store(table + 128);
    }
}
