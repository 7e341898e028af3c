using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.IO;
using System.Numerics;
using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>
/// A GGUF file, version 2 or 3, mapped. Everything is checked when it is opened; after that every byte of every tensor can
/// be read until the file is disposed of. Layout: <c>docs/formats/gguf.md</c>.
/// </summary>
public sealed unsafe class GgufFile : IDisposable
{
    private const uint Magic = 0x46554747; // "GGUF"
    private const uint DefaultAlignment = 32;
    private const int MaximumNameBytes = 65535;
    private const int MaximumDimensions = 4;
    private const int MinimumEntryBytes = 14;  // length, one letter, type, one byte
    private const int MinimumTensorBytes = 25; // length, one letter, dimensions, type, offset

    private readonly MappedFile _file;
    private readonly long _metadataEnd;
    private readonly OrderedDictionary<string, GgufValue> _metadata = [];
    private readonly OrderedDictionary<string, Tensor> _tensors = [];
    private readonly Dictionary<string, string> _typeNames = [];

    private GgufFile(MappedFile file)
    {
        _file = file;
        GgufCursor cursor = new(file, 0);
        if (file.Length < 4 || cursor.ReadUInt32() != Magic) throw new LowbitFormatException(file.Path, "the file does not begin with 'GGUF'; it is damaged or of another format.");
        Version = cursor.ReadUInt32();
        if (Version is not (2 or 3))
        {
            string version = (Version & 0xFFFF) == 0 ? "is big-endian" : $"has the GGUF version {Version}";
            throw new LowbitFormatException(file.Path, $"the file {version}, expected little-endian version 2 or 3; convert the model again with a current llama.cpp.");
        }
        long tensors = cursor.ReadCount("tensors", MinimumTensorBytes);
        long entries = cursor.ReadCount("metadata entries", MinimumEntryBytes);
        for (long i = 0; i < entries; i++) ReadEntry(ref cursor);
        _metadataEnd = cursor.Position;
        Alignment = ReadAlignment();
        List<Description> descriptions = [];
        for (long i = 0; i < tensors; i++) descriptions.Add(ReadTensor(ref cursor));
        AddTensors(descriptions, AlignUp(cursor.Position));
    }

    private readonly record struct Description(string Name, GgmlType Type, ImmutableArray<long> Shape, long Bytes, ulong Offset);

    /// <summary>Path as the user gave it.</summary>
    public string Path => _file.Path;

    /// <summary>Size of the file in bytes.</summary>
    public long FileBytes => _file.Length;

    /// <summary>Version of the format, 2 or 3.</summary>
    public uint Version { get; }

    /// <summary>Offsets of tensors are multiples of this many bytes.</summary>
    public uint Alignment { get; }

    /// <summary>Metadata by key, in the order of the file.</summary>
    public IReadOnlyDictionary<string, GgufValue> Metadata => _metadata;

    /// <summary>
    /// Tensors by name, in the order of the file's table; shapes are turned round into our order, [outFeatures, inFeatures].
    /// A tensor of a ggml type that cannot be read has the format <see cref="ElementFormat.Unsupported"/>. They must not be
    /// used after <see cref="Dispose"/>.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>ggml's name of every tensor's type, by tensor name; also of those that cannot be read.</summary>
    public IReadOnlyDictionary<string, string> TypeNames => _typeNames;

    /// <summary>Maps and checks a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LowbitFormatException">The file is truncated, damaged, forged or of another version.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static GgufFile Open(string path)
    {
        MappedFile file = new(path);
        try
        {
            return new GgufFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A text.</summary>
    /// <param name="key">Key of the metadata.</param>
    /// <param name="fallback">Result where the key is missing; null makes that an error.</param>
    /// <exception cref="LowbitFormatException">The key is missing, or its value is of another type.</exception>
    public string GetString(string key, string? fallback = null) => Lacks(key, fallback is not null) ? fallback! : _metadata[key].AsString();

    /// <summary>An integer of any width that fits <typeparamref name="T"/>.</summary>
    /// <inheritdoc cref="GetString"/>
    public T GetInteger<T>(string key, T? fallback = null) where T : struct, IBinaryInteger<T> =>
        Lacks(key, fallback is not null) ? fallback!.Value : _metadata[key].AsInteger<T>();

    /// <summary>An integer of any width that fits 32 bits without sign.</summary>
    /// <inheritdoc cref="GetString"/>
    public uint GetUInt32(string key, uint? fallback = null) => GetInteger(key, fallback);

    /// <summary>An integer of any width that fits 32 bits with sign.</summary>
    /// <inheritdoc cref="GetString"/>
    public int GetInt32(string key, int? fallback = null) => GetInteger(key, fallback);

    /// <summary>A float or an integer.</summary>
    /// <inheritdoc cref="GetString"/>
    public float GetFloat(string key, float? fallback = null) => Lacks(key, fallback is not null) ? fallback!.Value : _metadata[key].AsFloat();

    /// <summary>A truth value.</summary>
    /// <inheritdoc cref="GetString"/>
    public bool GetBool(string key, bool? fallback = null) => Lacks(key, fallback is not null) ? fallback!.Value : _metadata[key].AsBool();

    /// <summary>An array of texts, decoded anew by every call.</summary>
    /// <param name="key">Key of the metadata.</param>
    /// <exception cref="LowbitFormatException">The key is missing, or its value is of another type.</exception>
    public string[] GetStringArray(string key) => Value(key).AsStrings();

    /// <summary>An array of integers of any width that fit 32 bits with sign.</summary>
    /// <inheritdoc cref="GetStringArray"/>
    public int[] GetInt32Array(string key) => Value(key).AsIntegers<int>();

    /// <summary>An array of floats or integers.</summary>
    /// <inheritdoc cref="GetStringArray"/>
    public float[] GetFloatArray(string key) => Value(key).AsFloats();

    /// <summary>Writes a file with all metadata, entry by entry as they stand here, and no tensors: the vocabulary alone.</summary>
    /// <param name="destination">Where to write.</param>
    public void WriteMetadataOnly(Stream destination)
    {
        const int countOffset = 8; // after magic and version
        destination.Write(_file.Span(0, countOffset));
        destination.Write(stackalloc byte[sizeof(ulong)]); // no tensors
        const int piece = 1 << 20;
        for (long offset = countOffset + sizeof(ulong); offset < _metadataEnd; offset += piece)
            destination.Write(_file.Span(offset, (int)Math.Min(piece, _metadataEnd - offset)));
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private bool Lacks(string key, bool hasFallback)
    {
        if (!hasFallback) Value(key);
        return !_metadata.ContainsKey(key);
    }

    private GgufValue Value(string key) => _metadata.TryGetValue(key, out GgufValue value) ? value
        : throw new LowbitFormatException(Path, $"the metadata '{key}' is missing; the file is incomplete or of another architecture.");

    private void ReadEntry(ref GgufCursor cursor)
    {
        string key = cursor.ReadName("metadata entry", MaximumNameBytes);
        if (!_metadata.TryAdd(key, cursor.ReadValue(key, cursor.ReadType(key))))
            throw new LowbitFormatException(Path, $"the metadata {Quoted.Text(key)} is there twice; the file is damaged or forged.");
    }

    private uint ReadAlignment()
    {
        uint alignment = GetUInt32("general.alignment", DefaultAlignment);
        return BitOperations.IsPow2(alignment) ? alignment
            : throw new LowbitFormatException(Path, $"general.alignment is {alignment}, expected a power of two; the file is damaged.");
    }

    private long AlignUp(long position) => (position + Alignment - 1) & ~((long)Alignment - 1);

    private Description ReadTensor(ref GgufCursor cursor)
    {
        string name = cursor.ReadName("tensor", MaximumNameBytes);
        uint dimensions = cursor.ReadUInt32();
        if (dimensions > MaximumDimensions) throw new LowbitFormatException(Path, $"tensor {Quoted.Text(name)} has {dimensions} dimensions, expected at most {MaximumDimensions}; the file is damaged.");
        long[] shape = new long[dimensions];
        for (int i = shape.Length - 1; i >= 0; i--) shape[i] = (long)cursor.ReadUInt64(); // negative where it overflows
        uint id = cursor.ReadUInt32();
        GgmlType type = GgmlType.Find(id) ?? throw new LowbitFormatException(Path,
            $"tensor {Quoted.Text(name)} has the ggml type number {id}, which is unknown or was withdrawn; convert the model again with a current llama.cpp.");
        if (!TensorSize.TryCount(type.BlockLength, type.BlockBytes, shape, out long bytes))
            throw new LowbitFormatException(Path, $"tensor {Quoted.Text(name)} of type {type.Name} has the impossible shape [{string.Join(", ", shape)}]; rows must be whole blocks of {type.BlockLength}.");
        ulong offset = cursor.ReadUInt64();
        if (offset % Alignment != 0) throw new LowbitFormatException(Path, $"tensor {Quoted.Text(name)} begins at {offset}, expected a multiple of {Alignment}; the file is damaged.");
        if (!_typeNames.TryAdd(name, type.Name)) throw new LowbitFormatException(Path, $"the tensor {Quoted.Text(name)} is there twice; the file is damaged or forged.");
        return new Description(name, type, [.. shape], bytes, offset);
    }

    private void AddTensors(List<Description> descriptions, long dataStart)
    {
        ulong available = (ulong)Math.Max(0, _file.Length - dataStart);
        foreach (Description tensor in descriptions)
        {
            if (tensor.Offset > available || (ulong)tensor.Bytes > available - tensor.Offset)
                throw new LowbitFormatException(Path, $"tensor {Quoted.Text(tensor.Name)} needs {tensor.Bytes} bytes from {tensor.Offset} on, but the file has {available} bytes of tensors; it is truncated, get it again.");
            _tensors.Add(tensor.Name, new Tensor(tensor.Name, tensor.Type.Format, tensor.Shape, _file.Pointer + dataStart + (long)tensor.Offset, tensor.Bytes, _file));
        }
        descriptions.Sort((a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.Bytes.CompareTo(b.Bytes));
        for (int i = 1; i < descriptions.Count; i++)
        {
            if (descriptions[i].Offset < descriptions[i - 1].Offset + (ulong)descriptions[i - 1].Bytes)
                throw new LowbitFormatException(Path, $"the tensors {Quoted.Text(descriptions[i - 1].Name)} and {Quoted.Text(descriptions[i].Name)} overlap; the file is damaged or forged.");
        }
    }
}
