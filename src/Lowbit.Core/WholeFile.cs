using System;

namespace Lowbit.Core;

/// <summary>Small files, read as a whole.</summary>
public static class WholeFile
{
    /// <summary>Reads a file of limited size.</summary>
    /// <param name="path">The file.</param>
    /// <param name="maximumBytes">No such file has more.</param>
    /// <exception cref="LowbitFormatException">The file is too large.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static byte[] Read(string path, int maximumBytes)
    {
        using MappedFile file = Map(path, maximumBytes);
        return Bytes(file).ToArray();
    }

    /// <summary>Maps a file of limited size.</summary>
    internal static MappedFile Map(string path, int maximumBytes)
    {
        MappedFile file = new(path);
        if (file.Length <= maximumBytes) return file;
        file.Dispose();
        throw new LowbitFormatException(path, $"the file has {file.Length} bytes, expected at most {maximumBytes}; it is damaged or another file, get it again.");
    }

    /// <summary>The content of such a file.</summary>
    internal static ReadOnlySpan<byte> Bytes(MappedFile file) => file.Span(0, (int)file.Length);
}
