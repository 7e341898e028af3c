using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>A packed matrix of integers as it lies in the file, chunk of rows after chunk of rows; what can be checked without reading the integers is.</summary>
internal sealed unsafe class CodedIntegers
{
    /// <summary>Chunks that are read side by side.</summary>
    public const int ChunksAtOnce = 4;

    private const int ChunkElements = 1 << 17, MostRows = 1 << 11;

    [ThreadStatic]
    private static NativeBuffer? t_integers;

    [ThreadStatic]
    private static NativeBuffer? t_words;

    private readonly string _stream;
    private readonly List<object> _owners = [];
    private readonly IEnumerable<Tensor> _parts;
    private readonly byte[] _rowClasses; // pinned, and zeros up to a multiple of eight
    private readonly byte* _columnClasses;
    private readonly ushort* _words;
    private readonly long[] _starts; // [chunks + 1] in words

    /// <summary>Finds the parts.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="parts">The tensors by <see cref="IntegerPacking.Suffixes"/>.</param>
    /// <exception cref="LowbitException">A part is missing or has the wrong format, size or classes.</exception>
    public CodedIntegers(string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        (Rows, Columns, _parts) = (rows, columns, parts.Values);
        PartReader reader = new(name, parts, _owners);
        _stream = reader.NameOf(IntegerPacking.Stream);
        ReadOnlySpan<byte> stream = reader.AllBytes(IntegerPacking.Stream);
        ReadOnlySpan<byte> rowClasses = new(Classes(reader, IntegerPacking.RowClasses, rows), rows); // checked before anything is made as large
        _rowClasses = GC.AllocateArray<byte>((rows + ChunkReader.Rows - 1) / ChunkReader.Rows * ChunkReader.Rows, pinned: true);
        rowClasses.CopyTo(_rowClasses);
        _columnClasses = Classes(reader, IntegerPacking.ColumnClasses, columns);
        SpreadTables.MakeSlots(_rowClasses, ColumnClasses);
        int chunks = ChunksOf(rows, columns);
        uint* lengths = (uint*)reader.Bytes(IntegerPacking.Lengths, ElementFormat.U32, chunks * 4L);
        _words = (ushort*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(stream));
        _starts = new long[chunks + 1];
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            long left = stream.Length / sizeof(ushort) - _starts[chunk];
            if (lengths[chunk] > left)
                throw new LowbitException($"tensor {reader.NameOf(IntegerPacking.Lengths)}: chunk {chunk} is to have {lengths[chunk]} words, {left} are left; the file is damaged.");
            _starts[chunk + 1] = _starts[chunk] + lengths[chunk];
        }
        long behind = stream.Length / sizeof(ushort) - _starts[chunks];
        if (behind > 0) throw new LowbitException($"tensor {_stream}: {behind} words lie behind the last chunk; the file is damaged.");
    }

    /// <summary>Output features.</summary>
    public int Rows { get; }

    /// <summary>Input features.</summary>
    public int Columns { get; }

    /// <summary>Number of chunks.</summary>
    public int Chunks => _starts.Length - 1;

    /// <summary>Rows of a chunk; the last one may have fewer.</summary>
    public int ChunkRows => RowsOfChunk(Columns);

    /// <summary>[rows].</summary>
    public ReadOnlySpan<byte> RowClasses => _rowClasses.AsSpan(0, Rows);

    /// <summary>[columns].</summary>
    public ReadOnlySpan<byte> ColumnClasses => new(_columnClasses, Columns);

    /// <summary>Rows of a chunk but the last one.</summary>
    public static int RowsOfChunk(int columns) => Math.Clamp(ChunkElements / columns / ChunkReader.Rows * ChunkReader.Rows, ChunkReader.Rows, MostRows);

    /// <summary>Chunks of a matrix.</summary>
    public static int ChunksOf(int rows, int columns) => (rows + RowsOfChunk(columns) - 1) / RowsOfChunk(columns);

    /// <summary>Reads the integers of some neighbouring chunks.</summary>
    /// <param name="first">The first chunk.</param>
    /// <param name="count">Their number, at most <see cref="ChunksAtOnce"/>.</param>
    /// <param name="places">[columns] where each column goes in a row.</param>
    /// <param name="width">Integers of a row, zeros where no column goes.</param>
    /// <param name="values">[rows, width] the first chunk's first row; overwritten.</param>
    /// <exception cref="LowbitException">The words are not what a coder would have written.</exception>
    public void Read(int first, int count, int* places, int width, sbyte* values)
    {
        ChunkReader* readers = stackalloc ChunkReader[ChunksAtOnce];
        nint bytes = (nint)ChunkReader.Rows * width; // of eight rows, column after column
        sbyte* integers = (sbyte*)Scratch.Ensure(ref t_integers, ChunksAtOnce * bytes);
        NativeMemory.Clear(integers, (nuint)(ChunksAtOnce * bytes));
        ushort* words = Words(first, count);
        for (int i = 0; i < count; i++)
        {
            int chunk = first + i;
            readers[i] = new ChunkReader(words + _starts[chunk] - _starts[first], (int)(_starts[chunk + 1] - _starts[chunk]), (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_rowClasses, chunk * ChunkRows));
        }
        for (int row = 0; row < ChunkRows; row += ChunkReader.Rows)
        {
            bool atOnce = ChunkReader.HasVectors && count == ChunksAtOnce && RowsLeft(first + count - 1, row) > 0;
            if (atOnce) ChunkReader.ReadRowsOfFour(readers, _columnClasses, places, Columns, integers, bytes);
            for (int i = 0; i < count; i++)
            {
                int rows = RowsLeft(first + i, row);
                if (rows <= 0) continue;
                if (!atOnce) readers[i].ReadRows(_columnClasses, places, Columns, integers + i * bytes);
                Check(!readers[i].Overran);
                RowsOfColumns(integers + i * bytes, rows, width, values + ((long)i * ChunkRows + row) * width);
            }
        }
        for (int i = 0; i < count; i++) Check(readers[i].IsAtEnd);
    }

    /// <summary>Gives the file's pages back; they can still be read.</summary>
    public void ReleasePages()
    {
        foreach (Tensor part in _parts) part.ReleasePages();
        GC.KeepAlive(_owners);
    }

    // Of a chunk from one of its rows on, at most eight.
    private int RowsLeft(int chunk, int row) => Math.Min(ChunkReader.Rows, Rows - chunk * ChunkRows - row);

    // Eight rows that lie column by column, row by row.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RowsOfColumns(sbyte* columns, int rows, int width, sbyte* target)
    {
        int c = 0;
        if (rows == ChunkReader.Rows && Ssse3.IsSupported)
            for (; c + 8 <= width; c += 8) Turn((byte*)columns + 8 * c, (byte*)target + c, width);
        for (; c < width; c++)
            for (int row = 0; row < rows; row++) target[(long)row * width + c] = columns[ChunkReader.Rows * c + row];
    }

    // A square of eight columns.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Turn(byte* columns, byte* target, nint width)
    {
        Vector128<byte> pairs = Vector128.Create((byte)0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
        Vector128<ushort> columns01 = Ssse3.Shuffle(Vector128.Load(columns), pairs).AsUInt16(), columns23 = Ssse3.Shuffle(Vector128.Load(columns + 16), pairs).AsUInt16();
        Vector128<ushort> columns45 = Ssse3.Shuffle(Vector128.Load(columns + 32), pairs).AsUInt16(), columns67 = Ssse3.Shuffle(Vector128.Load(columns + 48), pairs).AsUInt16();
        Store(Sse2.UnpackLow(columns01, columns23), Sse2.UnpackLow(columns45, columns67), target, width);
        Store(Sse2.UnpackHigh(columns01, columns23), Sse2.UnpackHigh(columns45, columns67), target + 4 * width, width);
    }

    // Four rows, of which the first vector has columns 0 to 3, the second 4 to 7.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<ushort> lower, Vector128<ushort> upper, byte* target, nint width)
    {
        Vector128<ulong> rows01 = Sse2.UnpackLow(lower.AsUInt32(), upper.AsUInt32()).AsUInt64(), rows23 = Sse2.UnpackHigh(lower.AsUInt32(), upper.AsUInt32()).AsUInt64();
        *(ulong*)target = rows01[0];
        *(ulong*)(target + width) = rows01[1];
        *(ulong*)(target + 2 * width) = rows23[0];
        *(ulong*)(target + 3 * width) = rows23[1];
    }

    private void Check(bool isRight)
    {
        if (!isRight) throw new LowbitException($"tensor {_stream}: the coded integers end in another state than a coder leaves; the file is damaged.");
    }

    // Some chunks. A reader may look as many words beyond its chunk as eight rows can take: where the file has not so many, a copy has zeros behind.
    private ushort* Words(int first, int count)
    {
        long ahead = ChunkReader.MostWords(Columns), length = _starts[first + count] - _starts[first];
        if (_starts[first + count] + ahead <= _starts[^1]) return _words + _starts[first];
        ushort* copy = (ushort*)Scratch.Ensure(ref t_words, sizeof(ushort) * (length + ahead));
        NativeMemory.Copy(_words + _starts[first], copy, (nuint)(sizeof(ushort) * length));
        NativeMemory.Clear(copy + length, (nuint)(sizeof(ushort) * ahead));
        return copy;
    }

    private static byte* Classes(PartReader reader, string suffix, int count)
    {
        byte* classes = reader.Bytes(suffix, ElementFormat.U8, count);
        for (int i = 0; i < count; i++)
        {
            if (classes[i] >= SpreadTables.Classes)
                throw new LowbitException($"tensor {reader.NameOf(suffix)}: element {i} is {classes[i]}, classes are below {SpreadTables.Classes}; the file is damaged.");
        }
        return classes;
    }
}
