using System;
using System.IO;
using System.Text;
using Lowbit.Core;
using Microsoft.Win32.SafeHandles;

namespace Lowbit.Cli.Shell;

/// <summary>Texts to measure on and to calibrate with are taken as they stand: UTF-8, line ends kept, nothing trimmed.</summary>
internal static class TextFile
{
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <exception cref="LowbitException">The file is not there, cannot be read or is no UTF-8.</exception>
    public static string Read(string path)
    {
        try
        {
            return s_strict.GetString(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new LowbitException($"{path}: there is no such file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{path}: the text cannot be read: {e.Message}", e);
        }
        catch (DecoderFallbackException e)
        {
            throw new LowbitFormatException(path, $"byte {e.Index} is not UTF-8, but texts have to be; convert the file first.", e);
        }
    }

    /// <summary>Bytes of a file that has been read, behind a link if it is one.</summary>
    public static long Length(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }
}
