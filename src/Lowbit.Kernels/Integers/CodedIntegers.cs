using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>A packed matrix of integers as it lies in the file, chunk of rows after chunk of rows; what can be checked without reading the integers is.</summary>
internal sealed unsafe class CodedIntegers
{
    /// <summary>Chunks that are read side by side.</summary>
    public const int ChunksAtOnce = 4;

    private const int ChunkElements = 1 << 16;

    private readonly string _stream;
    private readonly List<object> _owners = [];
    private readonly IEnumerable<Tensor> _parts;
    private readonly byte* _rowClasses, _columnClasses;
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
        _rowClasses = Classes(reader, IntegerPacking.RowClasses, rows);
        _columnClasses = Classes(reader, IntegerPacking.ColumnClasses, columns);
        SpreadTables.MakeSlots(RowClasses, ColumnClasses);
        int chunks = ChunksOf(rows, columns);
        uint* lengths = (uint*)reader.Bytes(IntegerPacking.Lengths, ElementFormat.U32, chunks * 4L);
        ReadOnlySpan<byte> stream = reader.AllBytes(IntegerPacking.Stream);
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
    public ReadOnlySpan<byte> RowClasses => new(_rowClasses, Rows);

    /// <summary>[columns].</summary>
    public ReadOnlySpan<byte> ColumnClasses => new(_columnClasses, Columns);

    /// <summary>Rows of a chunk but the last one.</summary>
    public static int RowsOfChunk(int columns) => Math.Max(1, ChunkElements / columns);

    /// <summary>Chunks of a matrix.</summary>
    public static int ChunksOf(int rows, int columns) => (rows + RowsOfChunk(columns) - 1) / RowsOfChunk(columns);

    /// <summary>Reads the integers of some neighbouring chunks.</summary>
    /// <param name="first">The first chunk.</param>
    /// <param name="count">Their number, at most <see cref="ChunksAtOnce"/>.</param>
    /// <param name="places">[columns] where each column goes in a row.</param>
    /// <param name="stride">Integers from row to row.</param>
    /// <param name="values">The first chunk's first row; what no column goes to is left as it is.</param>
    /// <exception cref="LowbitException">The words are not what a coder would have written.</exception>
    public void Read(int first, int count, int* places, long stride, sbyte* values)
    {
        ChunkReader* readers = stackalloc ChunkReader[ChunksAtOnce];
        int common = ChunkRows; // rows that all have
        List<ushort[]> copies = [];
        for (int i = 0; i < count; i++)
        {
            int row = (first + i) * ChunkRows;
            readers[i] = new ChunkReader(Words(first + i, copies), (int)(_starts[first + i + 1] - _starts[first + i]), _rowClasses + row, values + (long)i * ChunkRows * stride, stride);
            common = Math.Min(common, Rows - row);
        }
        int done = 0;
        if (count == ChunksAtOnce)
        {
            for (; done < common; done++)
            {
                ChunkReader.ReadRows(ref readers[0], ref readers[1], ref readers[2], ref readers[3], _columnClasses, places, Columns);
                for (int i = 0; i < count; i++) Check(!readers[i].Overran);
            }
        }
        for (int i = 0; i < count; i++)
        {
            for (int r = done; r < Math.Min(ChunkRows, Rows - (first + i) * ChunkRows); r++)
            {
                readers[i].ReadRow(_columnClasses, places, Columns);
                Check(!readers[i].Overran);
            }
            Check(readers[i].IsAtEnd);
        }
        GC.KeepAlive(copies);
    }

    /// <summary>Gives the file's pages back; they can still be read.</summary>
    public void ReleasePages()
    {
        foreach (Tensor part in _parts) part.ReleasePages();
        GC.KeepAlive(_owners);
    }

    private void Check(bool isRight)
    {
        if (!isRight) throw new LowbitException($"tensor {_stream}: the coded integers end in another state than a coder leaves; the file is damaged.");
    }

    // A reader may look as many words beyond the chunk as a row can take: where the file has not so many, it gets a copy with zeros behind.
    private ushort* Words(int chunk, List<ushort[]> copies)
    {
        long ahead = ChunkReader.MostWords(Columns), length = _starts[chunk + 1] - _starts[chunk];
        if (_starts[chunk + 1] + ahead <= _starts[^1]) return _words + _starts[chunk];
        ushort[] copy = GC.AllocateArray<ushort>((int)(length + ahead), pinned: true);
        new ReadOnlySpan<ushort>(_words + _starts[chunk], (int)length).CopyTo(copy);
        copies.Add(copy);
        return (ushort*)Marshal.UnsafeAddrOfPinnedArrayElement(copy, 0);
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
