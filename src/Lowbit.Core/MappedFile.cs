using System;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Lowbit.Core;

/// <summary>A whole file mapped for reading. Pages come from disk when they are first read, and only then.</summary>
public sealed unsafe partial class MappedFile : IDisposable
{
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _pointer;

    /// <summary>Maps the file.</summary>
    /// <param name="path">Path as the user gave it.</param>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public MappedFile(string path)
    {
        Path = path;
        try
        {
            using (SafeFileHandle handle = File.OpenHandle(path)) Length = RandomAccess.GetLength(handle); // FileInfo has that of a symbolic link itself
            if (Length == 0) return; // an empty file cannot be mapped
            _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
            _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _pointer);
            _pointer += _view.PointerOffset;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new LowbitException($"{path}: there is no such file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{path}: the file cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Path as the user gave it.</summary>
    public string Path { get; }

    /// <summary>Size in bytes.</summary>
    public long Length { get; }

    /// <summary>First byte of the file.</summary>
    public byte* Pointer => _pointer;

    /// <summary>A range of the file, checked against its end.</summary>
    /// <exception cref="LowbitFormatException">The range reaches beyond the end.</exception>
    public ReadOnlySpan<byte> Span(long offset, int length)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new LowbitFormatException(Path, $"bytes {offset} to {(decimal)offset + length} are asked for, but the file has {Length}; it is truncated or damaged, get it again.");
        return new ReadOnlySpan<byte>(_pointer + offset, length);
    }

    /// <summary>
    /// Tells the system that a range will not be read soon, so that its pages no longer count as memory of this process;
    /// reading them again brings them back. Does nothing where the system has no such call.
    /// </summary>
    public void Release(byte* start, long bytes)
    {
        if (!OperatingSystem.IsLinux() || _view is null) return;
        const int dontNeed = 4;
        const nuint step = 1 << 21; // Linux maps up to so much around a byte that is read; what others need of it comes back when they read it
        nuint mapping = (nuint)_pointer & ~((nuint)Environment.SystemPageSize - 1);
        nuint first = Math.Max(mapping, (nuint)start & ~(step - 1)), end = Math.Min((nuint)_pointer + (nuint)Length, ((nuint)start + (nuint)bytes + step - 1) & ~(step - 1));
        if (end > first) _ = Advise((void*)first, end - first, dontNeed); // advice only: nothing breaks if it is not taken
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_view is not null)
        {
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
        }
        _file?.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
