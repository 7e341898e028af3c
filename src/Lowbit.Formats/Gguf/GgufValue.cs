using System;
using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>
/// A metadata value, decoded when it is asked for: opening a file with 150 000 tokens makes no strings. Valid until the
/// file is disposed of. Each accessor takes every type that can stand for the result without loss of meaning.
/// </summary>
public readonly struct GgufValue
{
    private readonly MappedFile _file;
    private readonly string _key;
    private readonly long _offset; // of the bytes of a text, the first element of an array, the number itself

    internal GgufValue(MappedFile file, string key, GgufType type, GgufType elementType, long count, long offset)
    {
        _file = file;
        _key = key;
        Type = type;
        ElementType = elementType;
        Count = count;
        _offset = offset;
    }

    /// <summary>Type in the file.</summary>
    public GgufType Type { get; }

    /// <summary>Type of the elements of an array; else the same as <see cref="Type"/>.</summary>
    public GgufType ElementType { get; }

    /// <summary>Elements of an array, bytes of a text, else 1.</summary>
    public long Count { get; }

    /// <summary>A text; bytes that are not UTF-8 become U+FFFD.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type.</exception>
    public string AsString() => Type == GgufType.String ? Encoding.UTF8.GetString(_file.Span(_offset, (int)Count)) : throw Mismatch("a text");

    /// <summary>An integer of any width that fits <typeparamref name="T"/>.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type or out of range.</exception>
    public T AsInteger<T>() where T : struct, IBinaryInteger<T>
    {
        if (!IsInteger(Type)) throw Mismatch("an integer");
        return Integer<T>(0);
    }

    /// <summary>A 32-bit or 64-bit float, or an integer.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type.</exception>
    public float AsFloat() => IsNumber(Type) ? Float(0) : throw Mismatch("a number");

    /// <summary>A truth value.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type, or neither 0 nor 1.</exception>
    public bool AsBool() => Type == GgufType.Bool ? Bool(0) : throw Mismatch("a truth value");

    /// <summary>An array of texts.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type.</exception>
    public string[] AsStrings()
    {
        ExpectArray(ElementType == GgufType.String, "an array of texts");
        string[] result = new string[Count];
        GgufCursor cursor = new(_file, _offset);
        for (int i = 0; i < result.Length; i++) result[i] = Encoding.UTF8.GetString(cursor.Take(cursor.ReadStringLength(_key)));
        return result;
    }

    /// <summary>An array of integers of any width that fit <typeparamref name="T"/>.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type or an element is out of range.</exception>
    public T[] AsIntegers<T>() where T : struct, IBinaryInteger<T>
    {
        ExpectArray(IsInteger(ElementType), "an array of integers");
        T[] result = new T[Count];
        for (int i = 0; i < result.Length; i++) result[i] = Integer<T>(i);
        return result;
    }

    /// <summary>An array of floats or integers.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type.</exception>
    public float[] AsFloats()
    {
        ExpectArray(IsNumber(ElementType), "an array of numbers");
        float[] result = new float[Count];
        for (int i = 0; i < result.Length; i++) result[i] = Float(i);
        return result;
    }

    /// <summary>An array of truth values.</summary>
    /// <exception cref="LowbitFormatException">The value is of another type, or an element neither 0 nor 1.</exception>
    public bool[] AsBools()
    {
        ExpectArray(ElementType == GgufType.Bool, "an array of truth values");
        bool[] result = new bool[Count];
        for (int i = 0; i < result.Length; i++) result[i] = Bool(i);
        return result;
    }

    /// <summary>The elements of an array, whatever they are; this is the way into arrays of arrays.</summary>
    /// <exception cref="LowbitFormatException">The value is no array.</exception>
    public GgufValue[] AsValues()
    {
        ExpectArray(true, "an array");
        GgufValue[] result = new GgufValue[Count];
        GgufCursor cursor = new(_file, _offset);
        for (int i = 0; i < result.Length; i++) result[i] = cursor.ReadValue(_key, ElementType);
        return result;
    }

    /// <summary>The value's bytes as they stand in the file, with the length of a text and the head of an array.</summary>
    internal ReadOnlySpan<byte> Payload()
    {
        long start = _offset - (Type switch { GgufType.String => sizeof(ulong), GgufType.Array => GgufCursor.Size(GgufType.Array), _ => 0 });
        GgufCursor cursor = new(_file, start);
        cursor.ReadValue(_key, Type);
        long length = cursor.Position - start;
        return length <= Array.MaxLength ? _file.Span(start, (int)length)
            : throw new LowbitFormatException(_file.Path, $"the metadata {Quoted.Text(_key)} has {length} bytes, more than can be carried over; the file is damaged or forged.");
    }

    private static bool IsInteger(GgufType type) => type is <= GgufType.Int32 or GgufType.UInt64 or GgufType.Int64;

    private static bool IsNumber(GgufType type) => IsInteger(type) || type is GgufType.Float32 or GgufType.Float64;

    private T Integer<T>(long index) where T : struct, IBinaryInteger<T>
    {
        ReadOnlySpan<byte> bytes = Element(index);
        Int128 value = ElementType switch
        {
            GgufType.UInt8 => bytes[0],
            GgufType.Int8 => (sbyte)bytes[0],
            GgufType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            GgufType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            GgufType.UInt32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            GgufType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            GgufType.UInt64 => BinaryPrimitives.ReadUInt64LittleEndian(bytes),
            _ => BinaryPrimitives.ReadInt64LittleEndian(bytes),
        };
        try
        {
            return T.CreateChecked(value);
        }
        catch (OverflowException e)
        {
            throw new LowbitFormatException(_file.Path, $"the metadata {Quoted.Text(_key)} is {value}, out of the range of {typeof(T).Name}; the file is damaged.", e);
        }
    }

    private float Float(long index) => ElementType switch
    {
        GgufType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(Element(index)),
        GgufType.Float64 => (float)BinaryPrimitives.ReadDoubleLittleEndian(Element(index)),
        _ => (float)Integer<Int128>(index),
    };

    private bool Bool(long index)
    {
        byte value = Element(index)[0];
        return value <= 1 ? value == 1
            : throw new LowbitFormatException(_file.Path, $"the truth value {Quoted.Text(_key)} is {value}, expected 0 or 1; the file is damaged.");
    }

    private ReadOnlySpan<byte> Element(long index)
    {
        int size = GgufCursor.Size(ElementType);
        return _file.Span(_offset + index * size, size);
    }

    private void ExpectArray(bool fits, string expected)
    {
        if (Type != GgufType.Array || !fits) throw Mismatch(expected);
        if (Count > Array.MaxLength) throw new LowbitFormatException(_file.Path, $"the metadata {Quoted.Text(_key)} has {Count} elements, more than an array can hold; the file is damaged or forged.");
    }

    private LowbitFormatException Mismatch(string expected) =>
        new(_file.Path, $"the metadata {Quoted.Text(_key)} is of type {(Type == GgufType.Array ? $"array of {ElementType}" : Type)}, expected {expected}.");
}
