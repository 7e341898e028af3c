using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>
/// A safetensors file, mapped. Everything is checked when it is opened; after that every byte of every tensor can be read
/// until the file is disposed of. Layout: <c>docs/formats/safetensors.md</c>.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private const int LengthBytes = 8;

    private readonly MappedFile _file;
    private readonly OrderedDictionary<string, Tensor> _tensors = [];
    private readonly SafetensorsHeader _header;

    private SafetensorsFile(MappedFile file)
    {
        _file = file;
        if (file.Length < LengthBytes) throw new LowbitFormatException(file.Path, $"the file has {file.Length} bytes, a safetensors file at least 8; it is truncated, get it again.");
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, LengthBytes));
        if (headerBytes > SafetensorsHeader.MaximumBytes)
            throw new LowbitFormatException(file.Path, $"the header claims {headerBytes} bytes, more than the {SafetensorsHeader.MaximumBytes} allowed; the file is damaged or not safetensors.");
        _header = new SafetensorsHeader(file.Path, file.Span(LengthBytes, (int)headerBytes), file.Length - LengthBytes - (long)headerBytes);
        byte* data = file.Pointer + LengthBytes + (long)headerBytes;
        foreach (SafetensorsHeader.Entry entry in _header.Entries)
            _tensors.Add(entry.Name, new Tensor(entry.Name, entry.Format, entry.Shape, data + entry.Start, entry.End - entry.Start, file));
    }

    /// <summary>Path as the user gave it.</summary>
    public string Path => _file.Path;

    /// <summary>Size of the file in bytes.</summary>
    public long FileBytes => _file.Length;

    /// <summary>Tensors by name, in the order in which they lie in the file. They must not be used after <see cref="Dispose"/>.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>The texts under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Maps and checks a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LowbitFormatException">The file is truncated, damaged or forged.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static SafetensorsFile Open(string path)
    {
        MappedFile file = new(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
