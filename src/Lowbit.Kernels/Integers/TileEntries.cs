using System;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// What the forms leave out of a tile: steps of an entry for each row (<see cref="RowEntries"/>). A step is sixteen bytes with the columns since the
/// row's entry before, and sixteen bits that are set where it makes an integer smaller.
/// </summary>
internal unsafe struct TileEntries
{
    /// <summary>Bytes of a step.</summary>
    public const int StepBytes = IntegerTiles.Rows + sizeof(ushort);

    /// <summary>The first step.</summary>
    public byte* Start;

    /// <summary>Steps of entries that are worth 1.</summary>
    public int Ones;

    /// <summary>Steps behind them, of entries that are worth <see cref="RowEntries.Large"/>.</summary>
    public int Larges;

    /// <summary>Bytes of all steps.</summary>
    public readonly int Bytes => StepBytes * (Ones + Larges);

    /// <summary>The entries of a row that are worth 1.</summary>
    public readonly EntryCursor OnesOf(int row) => new(Start, row, Ones, 1);

    /// <summary>The entries of a row that are worth <see cref="RowEntries.Large"/>.</summary>
    public readonly EntryCursor LargesOf(int row) => new(Start + StepBytes * Ones, row, Larges, RowEntries.Large);

    /// <summary>Makes all entries such that change nothing.</summary>
    public readonly void Clear()
    {
        for (byte* step = Start; step < Start + Bytes; step += StepBytes)
        {
            new Span<byte>(step, IntegerTiles.Rows).Fill(RowEntries.Jump);
            *(ushort*)(step + IntegerTiles.Rows) = 0;
        }
    }

    /// <summary>Writes an entry of a cleared step.</summary>
    public readonly void Set(int step, int row, ushort entry)
    {
        byte* target = Start + StepBytes * step;
        target[row] = (byte)entry;
        if ((entry & RowEntries.Negative) != 0) *(ushort*)(target + IntegerTiles.Rows) |= (ushort)(1 << row);
    }
}

/// <summary>Goes through a list of a row's entries.</summary>
/// <param name="step">The first step.</param>
/// <param name="row">Row of the tile.</param>
/// <param name="steps">Number of steps.</param>
/// <param name="worth">What an entry is worth.</param>
internal unsafe struct EntryCursor(byte* step, int row, int steps, int worth)
{
    private byte* _step = step;
    private int _left = steps;

    /// <summary>The column of the last entry.</summary>
    public int Column { get; private set; }

    /// <summary>What it adds to the integer there.</summary>
    public int Difference { get; private set; }

    /// <summary>Goes to the next entry that changes an integer.</summary>
    /// <param name="end">Entries from this column on are left for later.</param>
    /// <returns>Whether there is one.</returns>
    public bool MoveNext(int end)
    {
        for (; _left > 0 && Column + _step[row] < end; _left--, _step += TileEntries.StepBytes)
        {
            Column += _step[row];
            if (_step[row] == RowEntries.Jump) continue;
            Difference = (*(ushort*)(_step + IntegerTiles.Rows) >> row & 1) != 0 ? -worth : worth;
            _left--;
            _step += TileEntries.StepBytes;
            return true;
        }
        return false;
    }
}
