using System;
using System.Buffers.Binary;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>Reads a mapped GGUF file from front to back; nothing that it returns reaches beyond the end.</summary>
internal struct GgufCursor(MappedFile file, long position)
{
    // No metadata text is longer in earnest; whole arrays may be.
    private const int MaximumStringBytes = 1 << 26;
    private const int MaximumArrayDepth = 4;
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    internal long Position { get; private set; } = position;

    internal readonly long Remaining => file.Length - Position;

    internal uint ReadUInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    internal ulong ReadUInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    /// <summary>A count whose items take at least <paramref name="itemBytes"/> bytes each, so that it cannot exceed what is left.</summary>
    internal long ReadCount(string what, int itemBytes)
    {
        ulong count = ReadUInt64();
        if (count > (ulong)(Remaining / itemBytes))
            throw new LowbitFormatException(file.Path, $"the file claims {count} {what}, but has only {Remaining} bytes left; it is truncated or damaged, get it again.");
        return (long)count;
    }

    /// <summary>A key or tensor name: short and strictly UTF-8.</summary>
    internal string ReadName(string what, int maximumBytes)
    {
        ulong length = ReadUInt64();
        if (length == 0 || length > (ulong)maximumBytes)
            throw new LowbitFormatException(file.Path, $"the name of a {what} has {length} bytes, expected 1 to {maximumBytes}; the file is damaged.");
        try
        {
            return s_strict.GetString(Take((int)length));
        }
        catch (DecoderFallbackException e)
        {
            throw new LowbitFormatException(file.Path, $"the name of a {what} at byte {Position} is not UTF-8; the file is damaged.", e);
        }
    }

    internal GgufType ReadType(string key)
    {
        uint type = ReadUInt32();
        return type <= (uint)GgufType.Float64 ? (GgufType)type
            : throw new LowbitFormatException(file.Path, $"the metadata {Quoted.Text(key)} has the unknown type {type}, expected 0 to {(uint)GgufType.Float64}; the file is damaged.");
    }

    /// <summary>Measures a value and steps over it without decoding it.</summary>
    internal GgufValue ReadValue(string key, GgufType type, int depth = 0)
    {
        GgufType elementType = type;
        long count = 1;
        if (type == GgufType.Array)
        {
            if (depth == MaximumArrayDepth) throw new LowbitFormatException(file.Path, $"the metadata {Quoted.Text(key)} nests arrays deeper than {MaximumArrayDepth}; the file is damaged or forged.");
            elementType = ReadType(key);
            count = ReadCount($"elements of {Quoted.Text(key)}", Size(elementType));
        }
        else if (type == GgufType.String)
        {
            count = ReadStringLength(key);
        }
        GgufValue value = new(file, key, type, elementType, count, Position);
        if (type == GgufType.String) Position += count;
        else if (elementType == GgufType.String) SkipStrings(key, count);
        else if (elementType == GgufType.Array) for (long i = 0; i < count; i++) ReadValue(key, GgufType.Array, depth + 1);
        else Position += count * Size(elementType);
        if (Position > file.Length) throw new LowbitFormatException(file.Path, $"the metadata {Quoted.Text(key)} reaches beyond the end of the file; it is truncated, get it again.");
        return value;
    }

    internal int ReadStringLength(string key)
    {
        ulong length = ReadUInt64();
        if (length > (ulong)Math.Min(Remaining, MaximumStringBytes))
            throw new LowbitFormatException(file.Path, $"a text of the metadata {Quoted.Text(key)} claims {length} bytes, but at most {Math.Min(Remaining, MaximumStringBytes)} are possible; the file is truncated or damaged, get it again.");
        return (int)length;
    }

    internal ReadOnlySpan<byte> Take(int bytes)
    {
        ReadOnlySpan<byte> span = file.Span(Position, bytes);
        Position += bytes;
        return span;
    }

    /// <summary>Bytes of a value, for texts and arrays those of an empty one.</summary>
    internal static int Size(GgufType type) => type switch
    {
        GgufType.UInt8 or GgufType.Int8 or GgufType.Bool => 1,
        GgufType.UInt16 or GgufType.Int16 => 2,
        GgufType.UInt32 or GgufType.Int32 or GgufType.Float32 => 4,
        GgufType.Array => 12,
        _ => 8,
    };

    private void SkipStrings(string key, long count)
    {
        for (; count > 0; count--)
        {
            int length = ReadStringLength(key); // moves the position, so it cannot stand on the right of +=
            Position += length;
        }
    }
}
