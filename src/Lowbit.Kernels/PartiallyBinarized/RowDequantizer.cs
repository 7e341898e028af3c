using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Rebuilds a packed row as floats, equal to <see cref="PartiallyBinarizedCodes.Dequantize(int, int)"/> to the last bit.</summary>
internal static unsafe class RowDequantizer
{
    private static readonly ulong* s_spread = SpreadTable();

    /// <summary>Rebuilds a row with the best code of this machine.</summary>
    /// <param name="rows">The matrix.</param>
    /// <param name="row">The row.</param>
    /// <param name="codes">Its unpacked codes, readable up to eight bytes beyond the last.</param>
    /// <param name="destination">[columns].</param>
    public static void Run(in PackedRows rows, int row, byte* codes, float* destination)
    {
        bool wholeVectors = (rows.LowGroups == 1 || rows.LowGroupSize % 8 == 0) && (rows.HighGroups == 1 || rows.HighGroupSize % 8 == 0);
        if (Avx2.IsSupported && wholeVectors) RunAvx2(rows, row, codes, destination);
        else RunScalar(rows, row, codes, destination);
    }

    /// <summary>The oracle: weight after weight.</summary>
    public static void RunScalar(in PackedRows rows, int row, byte* codes, float* destination)
    {
        ulong* salient = rows.Positions + (long)row * rows.Words, low = rows.Low + (long)row * rows.LowBits * rows.Words;
        for (int c = 0; c < rows.Columns; c++)
        {
            int value = 0;
            for (int plane = 0; plane < rows.LowBits; plane++) value |= (int)(low[plane * rows.Words + c / 64] >> c % 64 & 1) << plane;
            if ((salient[c / 64] >> c % 64 & 1) != 0)
            {
                long group = (long)row * rows.HighGroups + c / rows.HighGroupSize;
                int code = (value << rows.RestBits) | *codes++;
                destination[c] = rows.Scale(rows.HighScale, group) * (code - rows.HighZero[group]);
            }
            else
            {
                destination[c] = LowLevel(rows, row, c / rows.LowGroupSize, value);
            }
        }
    }

    /// <summary>Eight weights a step; groups are whole vectors.</summary>
    public static void RunAvx2(in PackedRows rows, int row, byte* codes, float* destination)
    {
        ulong* salientWords = rows.Positions + (long)row * rows.Words, lowWords = rows.Low + (long)row * rows.LowBits * rows.Words;
        Vector256<int> bitOfLane = Vector256.Create(1, 2, 4, 8, 16, 32, 64, 128);
        Vector256<float> level0 = default, level1 = default, level2 = default, level3 = default, highScale = default;
        Vector256<int> highZero = default;
        Vector256<int> upperBit0 = Vector256.Create(1 << rows.RestBits), upperBit1 = Vector256.Create(2 << rows.RestBits);
        int lowBits = rows.LowBits, lowEnd = 0, highEnd = 0;
        for (int c = 0; c < rows.Columns; c += 8)
        {
            if (c >= lowEnd)
            {
                int group = c / rows.LowGroupSize;
                lowEnd = rows.LowGroups == 1 ? rows.Columns : c + rows.LowGroupSize;
                level0 = Vector256.Create(LowLevel(rows, row, group, 0));
                level1 = Vector256.Create(LowLevel(rows, row, group, 1));
                level2 = Vector256.Create(LowLevel(rows, row, group, 2));
                level3 = Vector256.Create(LowLevel(rows, row, group, 3));
            }
            if (c >= highEnd)
            {
                long group = (long)row * rows.HighGroups + c / rows.HighGroupSize;
                highEnd = rows.HighGroups == 1 ? rows.Columns : c + rows.HighGroupSize;
                highScale = Vector256.Create(rows.Scale(rows.HighScale, group));
                highZero = Vector256.Create((int)rows.HighZero[group]);
            }
            int word = c >> 6, shift = c & 63;
            Vector256<int> bit0 = default, bit1 = default;
            Vector256<float> values = level0;
            if (lowBits > 0)
            {
                bit0 = Lanes((int)(lowWords[word] >> shift), bitOfLane);
                values = Vector256.ConditionalSelect(bit0.AsSingle(), level1, level0);
            }
            if (lowBits > 1)
            {
                bit1 = Lanes((int)(lowWords[rows.Words + word] >> shift), bitOfLane);
                values = Vector256.ConditionalSelect(bit1.AsSingle(), Vector256.ConditionalSelect(bit0.AsSingle(), level3, level2), values);
            }
            // No branch on whether there is a salient weight: at one in ten it would be guessed wrong every second time.
            int salient = (int)(salientWords[word] >> shift) & 0xFF;
            Vector128<byte> spread = Ssse3.Shuffle(Vector128.CreateScalar(*(ulong*)codes).AsByte(), Vector128.CreateScalar(s_spread[salient]).AsByte());
            codes += BitOperations.PopCount((uint)salient);
            Vector256<int> code = Avx2.ConvertToVector256Int32(spread) | (bit0 & upperBit0) | (bit1 & upperBit1);
            values = Vector256.ConditionalSelect(Lanes(salient, bitOfLane).AsSingle(), highScale * Vector256.ConvertToSingle(code - highZero), values);
            if (c + 8 <= rows.Columns)
            {
                values.Store(destination + c);
                continue;
            }
            for (int lane = 0; lane < rows.Columns - c; lane++) destination[c + lane] = values[lane];
        }
    }

    private static float LowLevel(in PackedRows rows, int row, int group, int code)
    {
        long index = (long)row * rows.LowGroups + group;
        float scale = rows.LowBits == 0 ? 0 : rows.Scale(rows.LowScale, index);
        return rows.Scale(rows.LowMean, index) + scale * (2 * code - ((1 << rows.LowBits) - 1));
    }

    private static Vector256<int> Lanes(int bits, Vector256<int> bitOfLane) => Vector256.Equals(Vector256.Create(bits) & bitOfLane, bitOfLane);

    // Entry m: byte j is the number of bits of m below bit j if that is set, else 128, which gives zero.
    private static ulong* SpreadTable()
    {
        ulong* table = (ulong*)NativeMemory.AlignedAlloc(256 * sizeof(ulong), 64);
        for (int mask = 0; mask < 256; mask++)
        {
            ulong entry = 0;
            for (int j = 0; j < 8; j++)
            {
                int index = (mask >> j & 1) != 0 ? BitOperations.PopCount((uint)mask & ((1u << j) - 1)) : 128;
                entry |= (ulong)index << 8 * j;
            }
            table[mask] = entry;
        }
        return table;
    }
}
