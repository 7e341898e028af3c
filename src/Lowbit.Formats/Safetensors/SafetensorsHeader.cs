using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>
/// The JSON header of a safetensors file, read token by token so that duplicates are seen and a large header costs no tree.
/// Offsets count from the end of the header.
/// </summary>
internal sealed class SafetensorsHeader
{
    internal const int MaximumBytes = 100_000_000;
    private const int MaximumDimensions = 32;

    internal readonly record struct Entry(string Name, ElementFormat Format, ImmutableArray<long> Shape, long Start, long End);

    /// <summary>In order of offsets.</summary>
    internal List<Entry> Entries { get; } = [];

    internal OrderedDictionary<string, string> Metadata { get; } = [];

    /// <exception cref="LowbitFormatException">The header is not what the format promises, or does not describe <paramref name="dataBytes"/> bytes.</exception>
    internal SafetensorsHeader(string file, ReadOnlySpan<byte> json, long dataBytes)
    {
        try
        {
            Read(file, json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter for strings that are not UTF-8
        {
            throw new LowbitFormatException(file, $"the header is not valid JSON: {e.Message.TrimEnd('.')}; the file is damaged or not safetensors, get it again.", e);
        }
        CheckOffsets(file, dataBytes);
    }

    private void Read(string file, ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json);
        HashSet<string> names = [];
        reader.Read();
        Expect(file, ref reader, JsonTokenType.StartObject, "the header");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            if (!names.Add(name)) throw new LowbitFormatException(file, $"the name {Quoted.Text(name)} is there twice; the file is damaged or forged.");
            reader.Read();
            if (name == "__metadata__") ReadMetadata(file, ref reader);
            else Entries.Add(ReadEntry(file, name, ref reader));
        }
        reader.Read(); // throws where anything but blanks follows
    }

    private void ReadMetadata(string file, ref Utf8JsonReader reader)
    {
        Expect(file, ref reader, JsonTokenType.StartObject, "'__metadata__'");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            Expect(file, ref reader, JsonTokenType.String, $"metadata {Quoted.Text(key)}");
            if (!Metadata.TryAdd(key, reader.GetString()!)) throw new LowbitFormatException(file, $"the metadata {Quoted.Text(key)} is there twice; the file is damaged or forged.");
        }
    }

    private static Entry ReadEntry(string file, string name, ref Utf8JsonReader reader)
    {
        ElementFormat? format = null;
        ImmutableArray<long>? shape = null, offsets = null;
        Expect(file, ref reader, JsonTokenType.StartObject, $"the entry of tensor {Quoted.Text(name)}");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string field = reader.GetString()!;
            reader.Read();
            bool repeated = field switch { "dtype" => format is not null, "shape" => shape is not null, "data_offsets" => offsets is not null, _ => false };
            if (repeated) throw new LowbitFormatException(file, $"tensor {Quoted.Text(name)} has two fields {Quoted.Text(field)}; the file is damaged or forged.");
            switch (field)
            {
                case "dtype":
                    Expect(file, ref reader, JsonTokenType.String, $"the dtype of tensor {Quoted.Text(name)}");
                    string type = reader.GetString()!;
                    format = SafetensorsTypes.Find(type) ?? throw new LowbitFormatException(file,
                        $"tensor {Quoted.Text(name)} has the unknown dtype {Quoted.Text(type)}; expected one of {SafetensorsTypes.All}.");
                    break;
                case "shape": shape = ReadNumbers(file, ref reader, $"the shape of tensor {Quoted.Text(name)}", MaximumDimensions); break;
                case "data_offsets": offsets = ReadNumbers(file, ref reader, $"the data_offsets of tensor {Quoted.Text(name)}", 2); break;
                default: reader.Skip(); break;
            }
        }
        if (format is null || shape is null || offsets is not { Length: 2 } range)
            throw new LowbitFormatException(file, $"tensor {Quoted.Text(name)} needs a dtype, a shape and two data_offsets; the file is damaged.");
        if (!TensorSize.TryCount(1, format.Value.BlockBytes(), shape.Value.AsSpan(), out long bytes))
            throw new LowbitFormatException(file, $"tensor {Quoted.Text(name)} has the impossible shape [{string.Join(", ", shape)}]; the file is damaged or forged.");
        if (range[1] < range[0] || range[1] - range[0] != bytes)
            throw new LowbitFormatException(file, $"tensor {Quoted.Text(name)} of shape [{string.Join(", ", shape)}] and dtype {SafetensorsTypes.Name(format.Value)} must have {bytes} bytes, but its offsets are {range[0]} to {range[1]}; the file is damaged.");
        return new Entry(name, format.Value, shape.Value, range[0], range[1]);
    }

    private static ImmutableArray<long> ReadNumbers(string file, ref Utf8JsonReader reader, string what, int atMost)
    {
        Expect(file, ref reader, JsonTokenType.StartArray, what);
        ImmutableArray<long>.Builder numbers = ImmutableArray.CreateBuilder<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            Expect(file, ref reader, JsonTokenType.Number, what);
            if (!reader.TryGetInt64(out long number) || number < 0 || numbers.Count == atMost)
                throw new LowbitFormatException(file, $"{what} must be at most {atMost} whole numbers from 0 to 2^63 - 1; the file is damaged or forged.");
            numbers.Add(number);
        }
        return numbers.ToImmutable();
    }

    private static void Expect(string file, ref Utf8JsonReader reader, JsonTokenType expected, string what)
    {
        if (reader.TokenType != expected)
            throw new LowbitFormatException(file, $"{what} is JSON of kind {reader.TokenType}, expected {expected}; the file is damaged or not safetensors.");
    }

    private void CheckOffsets(string file, long dataBytes)
    {
        Entries.Sort((a, b) => a.Start != b.Start ? a.Start.CompareTo(b.Start) : a.End.CompareTo(b.End));
        long position = 0;
        foreach (Entry entry in Entries)
        {
            if (entry.Start != position)
                throw new LowbitFormatException(file, $"tensor {Quoted.Text(entry.Name)} begins at {entry.Start}, where {position} was expected: tensors must follow each other without {(entry.Start < position ? "overlap" : "holes")}; the file is damaged or forged.");
            position = entry.End;
        }
        if (position != dataBytes)
            throw new LowbitFormatException(file, $"the tensors need {position} bytes after the header, but the file has {dataBytes} there; it is truncated or damaged, get it again.");
    }
}
