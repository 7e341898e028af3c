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
    public const string Stream = "n_words";

    /// <summary>[chunks] words of each chunk.</summary>
    public const string Lengths = "n_lengths";

    /// <summary>[rows] classes.</summary>
    public const string RowClasses = "n_rows";

    /// <summary>[columns] classes.</summary>
    public const string ColumnClasses = "n_columns";

    /// <summary>All parts of a matrix.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Stream, Lengths, RowClasses, ColumnClasses];

    /// <summary>Bits that a packed matrix will take, to within a byte or two a chunk.</summary>
    public static double Bits(IntegerCodes codes)
    {
        _ = SpreadModel.Fit(codes.Values, codes.Rows, codes.Columns, out double bits);
        return bits + Overhead(codes.Rows, codes.Columns) * codes.Values.Length;
    }

    /// <summary>Bits of a weight that do not depend on the integers.</summary>
    public static double Overhead(int rows, int columns) => (CodedIntegers.ChunksOf(rows, columns) * 32.0 * (IntegerStream.Lanes + 1) + 8.0 * (rows + columns)) / ((double)rows * columns);

    /// <summary>Packs a matrix.</summary>
    public static ImmutableArray<PackedPart> Pack(IntegerCodes codes)
    {
        int columns = codes.Columns, chunkRows = CodedIntegers.RowsOfChunk(columns);
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
        CodedIntegers coded = new(name, rows, columns, parts);
        IntegerCodes codes = new(rows, columns);
        int[] places = new int[columns];
        for (int c = 0; c < columns; c++) places[c] = c;
        using WorkerPool pool = new();
        fixed (sbyte* values = codes.Values)
        fixed (int* place = places)
        {
            ReadWork work = new() { Coded = coded, Places = place, Values = values };
            pool.Run(ref work, coded.Chunks, CodedIntegers.ChunksAtOnce);
        }
        coded.ReleasePages();
        return codes;
    }

    /// <summary>The matrix that products are computed from. The first one unpacks the integers, and finds out whether they are a code of integers.</summary>
    /// <inheritdoc cref="Unpack"/>
    public static IntegerMatrix Load(string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        CodedIntegers coded = new(name, rows, columns, parts);
        coded.ReleasePages();
        return new IntegerMatrix(coded);
    }

    private struct ReadWork : IParallelWork
    {
        public CodedIntegers Coded;
        public int* Places;
        public sbyte* Values;

        public readonly void Execute(int start, int end)
        {
            for (int chunk = start; chunk < end; chunk += CodedIntegers.ChunksAtOnce)
                Coded.Read(chunk, Math.Min(CodedIntegers.ChunksAtOnce, end - chunk), Places, Coded.Columns, Values + (long)chunk * Coded.ChunkRows * Coded.Columns);
        }
    }
}
