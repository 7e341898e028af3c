using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Packs codes into the bytes that are stored and computed from; see docs/formats/partially-binarized.md.</summary>
public static class PartiallyBinarizedPacking
{
    /// <summary>Bitmap or code of the positions of salient weights.</summary>
    public const string Positions = "pb_positions";

    /// <summary>Low planes.</summary>
    public const string Low = "pb_low";

    /// <summary>Bits of the salient codes that are not in the low planes.</summary>
    public const string High = "pb_high";

    /// <summary>[rows, low groups] half steps of the low levels.</summary>
    public const string LowScale = "pb_low_scale";

    /// <summary>[rows, low groups] centres of the low levels.</summary>
    public const string LowMean = "pb_low_mean";

    /// <summary>[rows, high groups] steps of the salient levels.</summary>
    public const string HighScale = "pb_high_scale";

    /// <summary>[rows, high groups] codes that mean zero.</summary>
    public const string HighZero = "pb_high_zero";

    /// <summary>The endings of all parts.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Positions, Low, High, LowScale, LowMean, HighScale, HighZero];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <param name="scaleFormat">F16 or F32; scales and means are rounded to it.</param>
    /// <param name="positions">How to store the positions.</param>
    /// <exception cref="LowbitException">A code or zero is outside of its range, or a scale is not finite in the format.</exception>
    public static Packed<PartiallyBinarizedLayout> Pack(PartiallyBinarizedCodes codes, ElementFormat scaleFormat, PositionsForm positions)
    {
        PartiallyBinarizedLayout layout = new(
            codes.Rows, codes.Columns, codes.LowBits, codes.HighBits, codes.LowGroupSize, codes.HighGroupSize, scaleFormat, positions);
        layout.Check("the matrix to pack");
        int rows = layout.Rows, columns = layout.Columns, words = layout.Words;
        ulong[] bitmap = new ulong[(long)rows * words], low = new ulong[(long)rows * words * layout.LowBits];
        byte[] high = new byte[HighBytes(codes, layout)];
        long rowStart = 0;
        for (int r = 0; r < rows; r++)
        {
            long salient = 0;
            Span<byte> row = high.AsSpan(checked((int)rowStart));
            for (int c = 0; c < columns; c++)
            {
                long i = (long)r * columns + c;
                bool isSalient = codes.Salient[i];
                int code = codes.Codes[i], bits = isSalient ? layout.HighBits : layout.LowBits;
                if (code >> bits != 0) throw new LowbitException($"the matrix to pack: code {code} at [{r}, {c}] does not fit {bits} bits; the method that made it is at fault.");
                if (isSalient)
                {
                    bitmap[(long)r * words + c / 64] |= 1UL << c % 64;
                    if (layout.RestBits > 0) CodeStream.Write(row, salient, layout.RestBits, code & ((1 << layout.RestBits) - 1));
                    salient++;
                    code >>= layout.RestBits;
                }
                for (int plane = 0; plane < layout.LowBits; plane++)
                    low[((long)r * layout.LowBits + plane) * words + c / 64] |= (ulong)(code >> plane & 1) << c % 64;
            }
            rowStart += CodeStream.Bytes(salient, layout.RestBits);
        }
        List<PackedPart> parts = [];
        if (positions == PositionsForm.Coded)
        {
            layout = layout with { RiceParameter = RicePositions.BestParameter(bitmap, rows, columns) };
            byte[] code = RicePositions.Encode(bitmap, rows, columns, layout.RiceParameter);
            Add(Positions, ElementFormat.U8, [code.Length], code);
        }
        else
        {
            Add(Positions, ElementFormat.U8, [rows, words * 8L], Bytes(bitmap));
        }
        Add(Low, ElementFormat.U8, [rows, words * 8L * layout.LowBits], Bytes(low));
        Add(High, ElementFormat.U8, [high.Length], high);
        if (layout.LowBits > 0) Add(LowScale, scaleFormat, [rows, layout.LowGroups], PackedPart.Numbers(LowScale, codes.LowScale, scaleFormat));
        Add(LowMean, scaleFormat, [rows, layout.LowGroups], PackedPart.Numbers(LowMean, codes.LowMean, scaleFormat));
        Add(HighScale, scaleFormat, [rows, layout.HighGroups], PackedPart.Numbers(HighScale, codes.HighScale, scaleFormat));
        foreach (byte zero in codes.HighZero)
        {
            if (zero >> layout.HighBits != 0) throw new LowbitException($"the matrix to pack: the zero code {zero} does not fit {layout.HighBits} bits; the method that made it is at fault.");
        }
        Add(HighZero, ElementFormat.U8, [rows, layout.HighGroups], codes.HighZero);
        return new Packed<PartiallyBinarizedLayout>(layout, [.. parts]);

        void Add(string suffix, ElementFormat format, ImmutableArray<long> shape, byte[] bytes)
        {
            if (bytes.Length > 0) parts.Add(new PackedPart(suffix, format, shape, bytes));
        }
    }

    private static long HighBytes(PartiallyBinarizedCodes codes, PartiallyBinarizedLayout layout)
    {
        long bytes = 0;
        for (int r = 0; r < layout.Rows; r++)
        {
            long salient = 0;
            for (int c = 0; c < layout.Columns; c++) salient += codes.Salient[(long)r * layout.Columns + c] ? 1 : 0;
            bytes += CodeStream.Bytes(salient, layout.RestBits);
        }
        return bytes;
    }

    private static byte[] Bytes(ulong[] words) => MemoryMarshal.AsBytes(words.AsSpan()).ToArray();
}
