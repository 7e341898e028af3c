using System;
using System.Text;

namespace Lowbit.TestKit;

/// <summary>Small safetensors files for tests, right or deliberately wrong.</summary>
public static class SafetensorsBytes
{
    /// <summary>Length, header and data, nothing checked.</summary>
    public static byte[] Of(string header, params ReadOnlySpan<byte> data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        return [.. BitConverter.GetBytes((long)json.Length), .. json, .. data];
    }
}
