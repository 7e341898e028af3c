using System;
using Lowbit.Core;

namespace Lowbit.Benchmarks;

/// <summary>Reproducible inputs.</summary>
internal static unsafe class Values
{
    /// <summary>Numbers from −1 to 1.</summary>
    public static NativeBuffer Random(long count, int seed)
    {
        Random random = new(seed);
        NativeBuffer buffer = new(count * sizeof(float));
        for (long i = 0; i < count; i++) buffer.Floats[i] = 2 * random.NextSingle() - 1;
        return buffer;
    }
}
