using System;
using System.Collections.Generic;

namespace Lowbit.TestKit;

/// <summary>Small llama2.c files for tests: the floats count 0, 1, 2, ... from the first tensor on.</summary>
public static class Llama2CBytes
{
    /// <summary>A model of the size that the header describes.</summary>
    /// <param name="header">Width, feed-forward width, layers, heads, key-value heads, vocabulary (negative: untied), context.</param>
    public static byte[] Of(params ReadOnlySpan<int> header)
    {
        int width = header[0], keyValue = width / header[3] * header[4], vocabulary = Math.Abs(header[5]);
        int floats = vocabulary * width * (header[5] > 0 ? 1 : 2)
            + header[2] * width * (2 + 2 * width + 2 * keyValue + 3 * header[1]) + width + header[6] * (width / header[3]);
        List<byte> bytes = [];
        foreach (int number in header) bytes.AddRange(BitConverter.GetBytes(number));
        for (int i = 0; i < floats; i++) bytes.AddRange(BitConverter.GetBytes((float)i));
        return [.. bytes];
    }
}
