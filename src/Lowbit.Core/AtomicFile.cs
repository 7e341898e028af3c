using System;
using System.Buffers;
using System.IO;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Lowbit.Core;

/// <summary>
/// A file that appears under its name only when it is whole: it is written beside it under a temporary name, flushed to
/// disk and renamed by <see cref="Commit"/>. Disposed of without a commit, it leaves nothing behind.
/// </summary>
public sealed class AtomicFile : IDisposable
{
    private readonly string _temporary;
    private bool _done;

    /// <summary>Opens the temporary file.</summary>
    /// <param name="path">The name that the file shall have in the end.</param>
    /// <exception cref="LowbitException">The folder is not there or cannot be written.</exception>
    public AtomicFile(string path)
    {
        Path = path;
        _temporary = $"{path}.{Environment.ProcessId}.partial";
        Stream = Guard(() => new FileStream(_temporary, FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 20));
    }

    /// <summary>Writes a whole file of indented JSON.</summary>
    /// <param name="path">The file.</param>
    /// <param name="json">What it shall hold.</param>
    /// <param name="encoder">What escapes characters in strings; null for the default.</param>
    /// <exception cref="LowbitException">The file cannot be written.</exception>
    public static void WriteJson(string path, JsonNode json, JavaScriptEncoder? encoder = null)
    {
        ArrayBufferWriter<byte> bytes = new();
        using (Utf8JsonWriter writer = new(bytes, new JsonWriterOptions { Indented = true, Encoder = encoder })) json.WriteTo(writer);
        using AtomicFile file = new(path);
        file.Write(bytes.WrittenSpan);
        file.Commit();
    }

    /// <summary>The name that the file shall have in the end.</summary>
    public string Path { get; }

    /// <summary>Where to write.</summary>
    public FileStream Stream { get; }

    /// <summary>Appends bytes.</summary>
    /// <exception cref="LowbitException">The disk is full.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        try { Stream.Write(bytes); }
        catch (IOException e) { throw Failure(e); }
    }

    /// <summary>Flushes to disk and renames; from now on the file is there.</summary>
    /// <exception cref="LowbitException">The disk is full or the name cannot be taken.</exception>
    public void Commit() => Guard(() =>
    {
        Stream.Flush(flushToDisk: true);
        Stream.Dispose();
        File.Move(_temporary, Path, overwrite: true);
        _done = true;
        return _done;
    });

    /// <inheritdoc/>
    public void Dispose()
    {
        try { Stream.Dispose(); }
        catch (IOException) { } // a full disk: the bytes in the buffer are given up with the file
        if (!_done) File.Delete(_temporary);
    }

    private T Guard<T>(Func<T> action)
    {
        try { return action(); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failure(e);
        }
    }

    private LowbitException Failure(Exception e) =>
        new($"{Path}: the file cannot be written: {e.Message.TrimEnd('.')}. Free some space or choose another place.", e);
}
