using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>Writes the bytes of tiles, as <see cref="RowTiles"/> has them.</summary>
/// <param name="packed">The matrix.</param>
/// <param name="form">How the steps lie.</param>
/// <param name="gaps">Whether they have gaps instead of places.</param>
internal readonly unsafe struct TileWriter(in PackedRows packed, StepForm form, bool gaps)
{
    private const int Rows = RowTiles.Rows, Unit = RowTiles.Unit;

    [ThreadStatic]
    private static NativeBuffer? t_codes;

    [ThreadStatic]
    private static NativeBuffer? t_lists;

    [ThreadStatic]
    private static NativeBuffer? t_moves;

    private readonly PackedRows _packed = packed;

    /// <summary>Most bytes of a tile, as if every block were a segment and every weight salient.</summary>
    public long MostBytes => MostMoveBytes + _packed.Words * (Unit * (TileScales.Units(_packed) + 2L * _packed.LowBits) + form.Bytes(form.MostStepsOfBlock, gaps: false));

    private long MostMoveBytes => (long)_packed.Words * Unit;

    /// <summary>Writes a tile, its moves before its data: where the tile before is read, they are asked for in time.</summary>
    /// <param name="tile">The tile; its places are set.</param>
    /// <param name="count">Its rows.</param>
    /// <param name="target">[<see cref="MostBytes"/>], of which the first may be left as they are.</param>
    /// <returns>Bytes from the moves on.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public long Write(ref RowTile tile, int count, byte* target)
    {
        byte* codes = Scratch.Ensure(ref t_codes, (long)Rows * _packed.CodeStride);
        int* lists = (int*)Scratch.Ensure(ref t_lists, (long)Rows * SalientList.Most * sizeof(int));
        byte* moves = Scratch.Ensure(ref t_moves, MostMoveBytes), move = moves, data = target + MostMoveBytes;
        tile.Data = data;
        int* rows = stackalloc int[Rows];
        byte** rest = stackalloc byte*[Rows];
        int** next = stackalloc int*[Rows];
        for (int r = 0; r < count; r++)
        {
            rows[r] = tile.Row(r);
            rest[r] = codes + (long)r * _packed.CodeStride;
            _packed.UnpackHigh(rows[r], rest[r]);
        }
        for (int block = 0, end; block < _packed.Words; block = end)
        {
            end = SegmentProduct.SegmentEnd(_packed, block);
            TileScales.Store(_packed, rows, count, block, data);
            data += TileScales.Units(_packed) * Unit;
            for (int plane = 0; plane < _packed.LowBits; plane++)
                for (int b = block; b < end; b++, data += 2 * Unit) Plane(rows, count, plane, b, data);
            int* list = lists;
            for (int r = 0; r < Rows; r++)
            {
                next[r] = list;
                if (r >= count) list = SalientList.End(list);
                else if (gaps) list = SalientList.FillWithGaps(_packed, rows[r], block, end, ref rest[r], list);
                else list = SalientList.Fill(_packed, rows[r], block, end, ref rest[r], list);
            }
            if (form.Slots == 4) Steps<FourSlots>(next, ref data, ref move);
            else Steps<TwoSlots>(next, ref data, ref move);
        }
        long moveBytes = move - moves;
        tile.Moves = tile.Data - (moveBytes + Unit - 1) / Unit * Unit;
        Buffer.MemoryCopy(moves, tile.Moves, moveBytes, moveBytes);
        return data - tile.Moves;
    }

    // A block of a plane. Its words are [row, byte]; each shuffle moves the highest bit of a byte's place to the end, and four of them make [byte, row].
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Plane(int* rows, int count, int plane, int block, byte* target)
    {
        byte* half = stackalloc byte[2 * Unit];
        for (int i = 0; i < Rows; i++)
        {
            int row = RowTiles.RowOfByte(i);
            ((ulong*)target)[i] = row < count ? _packed.LowWord(rows[row], plane, block) & ~_packed.Positions[(long)rows[row] * _packed.Words + block] : 0;
        }
        for (int pair = 0; pair < 2; pair++)
        {
            Shuffle(target, half);
            Shuffle(half, target);
        }
    }

    // The bytes of the first unit in even places, those of the second in odd ones.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Shuffle(byte* from, byte* to)
    {
        for (int i = 0; i < Unit; i += 16)
        {
            Vector128<byte> even = Vector128.Load(from + i), odd = Vector128.Load(from + Unit + i);
            Sse2.UnpackLow(even, odd).Store(to + 2 * i);
            Sse2.UnpackHigh(even, odd).Store(to + 2 * i + 16);
        }
    }

    // The steps of a segment, four slots at a time, without branches on what rows hold, which nobody could predict.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Steps<TSlots>(int** next, ref byte* data, ref byte* moves) where TSlots : struct, ISlots
    {
        const int ColumnShift = 8 * SalientList.ColumnByte;
        int fours = form.Vector / 4, steps = 0, window = 0, farthest = form.FarthestMove;
        ushort* count = (ushort*)moves;
        byte* move = moves + sizeof(ushort), where = data, codes = data;
        Vector128<int> none = Vector128.Create(gaps ? 0 : StepForm.NoPlace << ColumnShift);
        uint whereByte = gaps ? (uint)SalientList.GapByte : SalientList.ColumnByte;
        Vector128<byte> order = Vector128.Create(0x0C080400u + 0x01010101u * whereByte, 0x0C080400u, 0, 0).AsByte(); // four places or gaps, four codes
        Vector128<int> first = Vector128.Create(SalientList.None);
        for (int i = 0; i < fours; i++) first = Vector128.Min(first, TSlots.Load(next, i));
        for (int least; (least = Least(first)) != SalientList.None; steps++)
        {
            int column = least >> ColumnShift, far = Math.Min(column - column % form.Start - window, farthest);
            window += far;
            *move++ = (byte)far;
            bool isSecond = gaps && steps % 2 == 1; // of two steps with one vector of gaps
            if (!isSecond)
            {
                where = codes;
                codes += form.Vector;
            }
            Vector128<int> behind = Vector128.Create(window + form.Columns << ColumnShift), bias = Vector128.Create(form.Bias - window << ColumnShift);
            first = Vector128.Create(SalientList.None);
            for (int i = 0; i < fours; i++)
            {
                Vector128<int> weights = TSlots.Load(next, i), isTaken = Vector128.LessThan(weights, behind);
                ulong step = Vector128.ShuffleNative(Vector128.ConditionalSelect(isTaken, weights + bias, none).AsByte(), order).AsUInt64().ToScalar();
                if (isSecond) ((uint*)where)[i] |= (uint)step << 4;
                else ((uint*)where)[i] = (uint)step;
                ((uint*)codes)[i] = (uint)(step >> 32);
                TSlots.Advance(next, i, isTaken.ExtractMostSignificantBits());
                first = Vector128.Min(first, TSlots.Load(next, i));
            }
            codes += form.Vector;
        }
        *count = (ushort)steps;
        data = codes;
        moves = move;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Least(Vector128<int> values)
    {
        values = Vector128.Min(values, Vector128.Shuffle(values, Vector128.Create(2, 3, 0, 1)));
        return Vector128.Min(values, Vector128.Shuffle(values, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }
}
