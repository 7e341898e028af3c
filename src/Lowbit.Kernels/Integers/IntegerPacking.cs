using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Packs a matrix of integers into about as many bits as its entropy, and reads it; see docs/formats/integers.md.
/// </summary>
public static unsafe class IntegerPacking
{
    /// <summary>Coded integers, 16-bit words, one chunk after the other.</summary>
    public const string Stream = "n_stream";

    /// <summary>[chunks] words of each chunk.</summary>
    public const string Lengths = "n_lengths";

    /// <summary>[rows] classes.</summary>
    public const string RowClasses = "n_rows";

    /// <summary>[columns] classes.</summary>
    public const string ColumnClasses = "n_columns";

    private const int ChunkElements = 1 << 16;

    /// <summary>All parts of a matrix.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Stream, Lengths, RowClasses, ColumnClasses];

    /// <summary>Bits that a packed matrix will take, to within a byte or two a chunk.</summary>
    public static double Bits(IntegerCodes codes)
    {
        _ = SpreadModel.Fit(codes.Values, codes.Rows, codes.Columns, out double bits);
        return bits + Overhead(codes.Rows, codes.Columns) * codes.Values.Length;
    }

    /// <summary>Bits of a weight that do not depend on the integers.</summary>
    public static double Overhead(int rows, int columns) => (Chunks(rows, columns) * 64.0 + 8.0 * (rows + columns)) / ((double)rows * columns);

    /// <summary>Packs a matrix.</summary>
    public static ImmutableArray<PackedPart> Pack(IntegerCodes codes)
    {
        int columns = codes.Columns, chunkRows = ChunkRows(columns);
        SpreadModel model = SpreadModel.Fit(codes.Values, codes.Rows, columns, out _);
        var stream = new List<ushort>();
        var lengths = new List<uint>();
        for (int first = 0; first < codes.Rows; first += chunkRows)
        {
            int count = Math.Min(chunkRows, codes.Rows - first);
            ushort[] words = IntegerStream.Encode(codes.Values.AsSpan(first * columns, count * columns), model.RowClasses.AsSpan(first, count), model.ColumnClasses);
            stream.AddRange(words);
            lengths.Add((uint)words.Length);
        }
        return
        [
            new PackedPart(Stream, ElementFormat.U8, [stream.Count * 2L], MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(stream)).ToArray()),
            new PackedPart(Lengths, ElementFormat.U32, [lengths.Count], MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(lengths)).ToArray()),
            new PackedPart(RowClasses, ElementFormat.U8, [codes.Rows], model.RowClasses),
            new PackedPart(ColumnClasses, ElementFormat.U8, [columns], model.ColumnClasses),
        ];
    }

    /// <summary>Reads the integers.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="parts">The tensors by <see cref="Suffixes"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or is no code of integers.</exception>
    public static IntegerCodes Unpack(string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        IntegerCodes codes = new(rows, columns);
        using WorkerPool pool = new();
        fixed (sbyte* values = codes.Values) Decode(pool, name, rows, columns, parts, values);
        return codes;
    }

    /// <summary>The matrix that products are computed from, which does not need the parts any more.</summary>
    /// <inheritdoc cref="Unpack"/>
    public static IntegerMatrix Load(string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        using WorkerPool pool = new();
        using NativeBuffer values = new((long)rows * columns);
        Decode(pool, name, rows, columns, parts, (sbyte*)values.Pointer);
        return new IntegerMatrix(pool, (sbyte*)values.Pointer, rows, columns);
    }

    // values: [rows, columns], overwritten.
    private static void Decode(WorkerPool pool, string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts, sbyte* values)
    {
        List<object> owners = [];
        PartReader reader = new(name, parts, owners);
        ReadOnlySpan<byte> rowClasses = Classes(reader, RowClasses, rows), columnClasses = Classes(reader, ColumnClasses, columns);
        int chunks = Chunks(rows, columns);
        var lengths = new ReadOnlySpan<uint>(reader.Bytes(Lengths, ElementFormat.U32, chunks * 4L), chunks);
        ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(reader.AllBytes(Stream));
        long left = words.Length;
        for (int chunk = 0; chunk < chunks; left -= lengths[chunk++])
        {
            if (lengths[chunk] > left)
                throw new LowbitException($"tensor {reader.NameOf(Lengths)}: chunk {chunk} is to have {lengths[chunk]} words, {left} are left; the file is damaged.");
        }
        if (left > 0) throw new LowbitException($"tensor {reader.NameOf(Stream)}: {left} words lie behind the last chunk; the file is damaged.");
        fixed (byte* rowClass = rowClasses, columnClass = columnClasses)
        fixed (uint* length = lengths)
        fixed (ushort* word = words)
        {
            DecodeWork work = new() { Name = reader.NameOf(Stream), Rows = rows, Columns = columns, RowClasses = rowClass, ColumnClasses = columnClass, Lengths = length, Words = word, Values = values };
            pool.Run(ref work, chunks, 1);
        }
        foreach (Tensor part in parts.Values) part.ReleasePages();
        GC.KeepAlive(owners);
    }

    private static ReadOnlySpan<byte> Classes(PartReader reader, string suffix, int count)
    {
        var classes = new ReadOnlySpan<byte>(reader.Bytes(suffix, ElementFormat.U8, count), count);
        for (int i = 0; i < count; i++)
        {
            if (classes[i] >= SpreadTables.Classes)
                throw new LowbitException($"tensor {reader.NameOf(suffix)}: element {i} is {classes[i]}, classes are below {SpreadTables.Classes}; the file is damaged.");
        }
        return classes;
    }

    private static int ChunkRows(int columns) => Math.Max(1, ChunkElements / columns);

    private static int Chunks(int rows, int columns) => (rows + ChunkRows(columns) - 1) / ChunkRows(columns);

    private struct DecodeWork : IParallelWork
    {
        public string Name;
        public int Rows, Columns;
        public byte* RowClasses, ColumnClasses;
        public uint* Lengths;
        public ushort* Words;
        public sbyte* Values;

        public readonly void Execute(int start, int end)
        {
            ushort* words = Words;
            for (int chunk = 0; chunk < start; chunk++) words += Lengths[chunk];
            int chunkRows = ChunkRows(Columns);
            for (int chunk = start; chunk < end; words += Lengths[chunk++])
            {
                int first = chunk * chunkRows, count = Math.Min(chunkRows, Rows - first);
                IntegerStream.Decode(
                    Name, new ReadOnlySpan<ushort>(words, (int)Lengths[chunk]), new ReadOnlySpan<byte>(RowClasses + first, count), new ReadOnlySpan<byte>(ColumnClasses, Columns),
                    new Span<sbyte>(Values + (long)first * Columns, count * Columns));
            }
        }
    }
}
