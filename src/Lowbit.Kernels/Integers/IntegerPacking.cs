using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;

namespace Lowbit.Kernels.Integers;

/// <summary>
/// Packs a matrix of integers into about as many bits as its entropy, and reads it as a partially binarized one; see
/// docs/formats/integers.md.
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

    private const int ChunkElements = 1 << 16, LowBits = 2, LeastHighBits = 3;

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
        List<object> owners = [];
        PartReader reader = new(name, parts, owners);
        ReadOnlySpan<byte> rowClasses = Classes(reader, RowClasses, rows), columnClasses = Classes(reader, ColumnClasses, columns);
        int chunks = Chunks(rows, columns), chunkRows = ChunkRows(columns);
        var lengths = new ReadOnlySpan<uint>(reader.Bytes(Lengths, ElementFormat.U32, chunks * 4L), chunks);
        ReadOnlySpan<ushort> words = MemoryMarshal.Cast<byte, ushort>(reader.AllBytes(Stream));
        for (int chunk = 0; chunk < chunks; chunk++)
        {
            int first = chunk * chunkRows, count = Math.Min(chunkRows, rows - first);
            if (lengths[chunk] > words.Length)
                throw new LowbitException($"tensor {reader.NameOf(Lengths)}: chunk {chunk} is to have {lengths[chunk]} words, {words.Length} are left; the file is damaged.");
            IntegerStream.Decode(
                reader.NameOf(Stream), words[..(int)lengths[chunk]], rowClasses.Slice(first, count), columnClasses, codes.Values.AsSpan(first * columns, count * columns));
            words = words[(int)lengths[chunk]..];
        }
        if (words.Length > 0) throw new LowbitException($"tensor {reader.NameOf(Stream)}: {words.Length} words lie behind the last chunk; the file is damaged.");
        GC.KeepAlive(owners);
        return codes;
    }

    /// <summary>
    /// The matrix that products are computed from: −1, 0, 1 and 2 in two low planes, all other integers salient. It takes
    /// more memory than the file, 3 bits and some a weight, and the kernels that partially binarized matrices have.
    /// </summary>
    /// <inheritdoc cref="Unpack"/>
    public static PartiallyBinarizedMatrix Load(string name, int rows, int columns, IReadOnlyDictionary<string, Tensor> parts)
    {
        PackedPartiallyBinarized packed = PartiallyBinarizedPacking.Pack(PartiallyBinarized(Unpack(name, rows, columns, parts)), ElementFormat.F16, PositionsForm.Bitmap);
        var tensors = new Dictionary<string, Tensor>();
        foreach (PackedPart part in packed.Parts)
        {
            var memory = new NativeBuffer(part.Bytes.Length);
            part.Bytes.CopyTo(new Span<byte>(memory.Pointer, part.Bytes.Length));
            tensors[part.Suffix] = new Tensor($"{name}.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return new PartiallyBinarizedMatrix(name, packed.Layout, tensors);
    }

    /// <summary>The same numbers as a partially binarized matrix.</summary>
    internal static PartiallyBinarizedCodes PartiallyBinarized(IntegerCodes codes)
    {
        int highBits = LeastHighBits;
        foreach (sbyte value in codes.Values)
        {
            while (value < -(1 << highBits - 1) || value >= 1 << highBits - 1) highBits++;
        }
        PartiallyBinarizedCodes partial = new(codes.Rows, codes.Columns, LowBits, highBits, codes.Columns, codes.Columns);
        Array.Fill(partial.LowScale, 0.5f); // levels ½ + ½ · (2q − 3): −1, 0, 1, 2
        Array.Fill(partial.LowMean, 0.5f);
        Array.Fill(partial.HighScale, 1f);
        Array.Fill(partial.HighZero, (byte)(1 << highBits - 1));
        for (int i = 0; i < codes.Values.Length; i++)
        {
            int value = codes.Values[i];
            partial.Salient[i] = value is < -1 or > 2;
            partial.Codes[i] = (byte)(value + (partial.Salient[i] ? 1 << highBits - 1 : 1));
        }
        return partial;
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
}
