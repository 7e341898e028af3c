using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>Memory that a thread keeps between calls, so that products allocate nothing once it has grown to their size.</summary>
internal static unsafe class Scratch
{
    /// <summary>Grows the buffer if it is too small; what was in it is lost then.</summary>
    public static byte* Ensure(ref NativeBuffer? buffer, long bytes)
    {
        if (buffer is null || buffer.Bytes < bytes)
        {
            buffer?.Dispose();
            buffer = null;
            buffer = new NativeBuffer(Math.Max(bytes, 4096));
        }
        return buffer.Pointer;
    }
}
