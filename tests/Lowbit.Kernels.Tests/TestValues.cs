using System;
using Lowbit.Core;

namespace Lowbit.Kernels.Tests;

/// <summary>Reproducible inputs.</summary>
internal static unsafe class TestValues
{
    public static NativeBuffer Random(long count, int seed, float scale = 1)
    {
        Random random = new(seed);
        NativeBuffer buffer = new(count * sizeof(float));
        for (long i = 0; i < count; i++) buffer.Floats[i] = scale * (2 * random.NextSingle() - 1);
        return buffer;
    }

    public static NativeBuffer Filled(long count, float value)
    {
        NativeBuffer buffer = new(count * sizeof(float));
        for (long i = 0; i < count; i++) buffer.Floats[i] = value;
        return buffer;
    }
}
