using System;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Addresses and sizes of the parts of a packed matrix, all checked, as kernels take them.</summary>
internal unsafe struct PackedRows
{
    /// <summary>Rows between two of <see cref="HighStarts"/>; where those in between begin is counted.</summary>
    public const int RowsOfStart = 8;

    public int Rows, Columns, Words, LowBits, HighBits, RestBits, LowGroupSize, HighGroupSize, LowGroups, HighGroups;
    public bool HalfScales;

    /// <summary>[rows, words].</summary>
    public ulong* Positions;

    /// <summary>[rows, lowBits, words].</summary>
    public ulong* Low;

    /// <summary>The codes of the rows' salient weights, each row from a byte on.</summary>
    public byte* High;

    /// <summary>Bytes of <see cref="High"/>.</summary>
    public long HighBytes;

    /// <summary>Where in them every <see cref="RowsOfStart"/>th row begins.</summary>
    public uint* HighStarts;

    /// <summary>[rows, lowGroups] floats or halves; LowScale is null without low bits.</summary>
    public byte* LowScale, LowMean;

    /// <summary>[rows, highGroups] floats or halves.</summary>
    public byte* HighScale;

    /// <summary>[rows, highGroups].</summary>
    public byte* HighZero;

    /// <summary>Bytes between the unpacked codes of two rows: whole vectors can be loaded at every code.</summary>
    public readonly int CodeStride => (Columns + 63) / 64 * 64 + 64;

    /// <summary>Whether no 64 columns of a block of activations belong to two groups.</summary>
    public readonly bool GroupsHoldWholeBlocks =>
        (LowGroups == 1 || LowGroupSize % 64 == 0) && (HighGroups == 1 || HighGroupSize % 64 == 0);

    /// <summary>64 columns of a low plane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly ulong LowWord(int row, int plane, int word) => Low[((long)row * LowBits + plane) * Words + word];

    /// <summary>Salient weights of a row.</summary>
    public readonly int SalientCount(int row)
    {
        int count = 0;
        ulong* words = Positions + (long)row * Words;
        for (int w = 0; w < Words; w++) count += BitOperations.PopCount(words[w]);
        return count;
    }

    /// <summary>The codes of a row's salient weights as bytes, without the bits that are in the low planes.</summary>
    /// <param name="row">The row.</param>
    /// <param name="codes">[<see cref="CodeStride"/>].</param>
    public readonly void UnpackHigh(int row, byte* codes)
    {
        if (RestBits == 0)
        {
            new Span<byte>(codes, Columns).Clear();
            return;
        }
        long start = HighStarts[row / RowsOfStart];
        for (int r = row / RowsOfStart * RowsOfStart; r < row; r++) start += CodeStream.Bytes(SalientCount(r), RestBits);
        CodeStream.Unpack(High + start, High + HighBytes, SalientCount(row), RestBits, codes);
    }

    /// <summary>One element of a table of scales.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Scale(byte* table, long index) => HalfScales ? FiniteHalf.ToFloat(((Half*)table)[index]) : ((float*)table)[index];
}
