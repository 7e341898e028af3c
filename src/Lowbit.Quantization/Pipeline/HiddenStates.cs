using System;
using System.IO;
using Lowbit.Core;
using Microsoft.Win32.SafeHandles;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// The hidden states of all calibration windows between two blocks: in memory, or, where a memory limit leaves no room for
/// them, in a file of which one window is in memory at a time.
/// </summary>
internal sealed unsafe class HiddenStates : IDisposable
{
    private readonly NativeBuffer _memory; // [windows or 1, windowBytes]
    private readonly SafeFileHandle? _file;
    private readonly string? _path;
    private readonly long _windowBytes;
    private int _open = -1; // the window that is in memory, of a file

    /// <summary>Makes room.</summary>
    /// <param name="windows">Number of windows.</param>
    /// <param name="windowBytes">Bytes of the states of a window.</param>
    /// <param name="file">Where they go; null for memory. The file is deleted in the end.</param>
    public HiddenStates(int windows, long windowBytes, string? file)
    {
        _windowBytes = windowBytes;
        _path = file;
        if (file is not null)
        {
            long bytes = windows * windowBytes;
            _file = Try(() => File.OpenHandle(file, FileMode.Create, FileAccess.ReadWrite, FileShare.None, FileOptions.DeleteOnClose, preallocationSize: bytes));
            RandomAccess.SetLength(_file, bytes);
        }
        _memory = new NativeBuffer(file is null ? windows * windowBytes : windowBytes);
    }

    /// <summary>The states of a window, [context, modelDim], until another is asked for.</summary>
    public float* this[int window]
    {
        get
        {
            if (_file is null) return (float*)(_memory.Pointer + window * _windowBytes);
            if (_open != window) Move(window, static (file, bytes, at) => RandomAccess.Read(file, bytes, at));
            _open = window;
            return _memory.Floats;
        }
    }

    /// <summary>Keeps what was changed in the states of a window, the one that was last asked for.</summary>
    public void Keep(int window)
    {
        if (_file is null) return;
        Move(window, static (file, bytes, at) =>
        {
            RandomAccess.Write(file, bytes, at);
            return bytes.Length;
        });
        _open = window;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _file?.Dispose();
        _memory.Dispose();
    }

    // One span holds at most 2 GiB.
    private void Move(int window, Func<SafeFileHandle, Span<byte>, long, int> move)
    {
        for (long done = 0; done < _windowBytes;)
        {
            long at = done;
            int moved = Try(() => move(_file!, new Span<byte>(_memory.Pointer + at, (int)Math.Min(_windowBytes - at, 1 << 30)), window * _windowBytes + at));
            if (moved == 0) throw new LowbitException($"{_path}: the file of hidden states ended after {window * _windowBytes + at} bytes; something else has changed it, run the command again.");
            done += moved;
        }
    }

    private T Try<T>(Func<T> action)
    {
        try { return action(); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{_path}: the hidden states cannot be kept in a file: {e.Message} Make room, choose another place with -o, or raise --memory-limit.", e);
        }
    }
}
