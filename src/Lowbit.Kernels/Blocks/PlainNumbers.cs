using System;

namespace Lowbit.Kernels.Blocks;

/// <summary>Numbers that lie one after the other. <c>double</c> rounds to nearest, ties to even; the others are exact.</summary>
internal static unsafe class PlainNumbers
{
    internal static void F16(Half* source, long elements, float* destination)
    {
        for (long i = 0; i < elements; i++) destination[i] = (float)source[i];
    }

    internal static void BF16(ushort* source, long elements, float* destination)
    {
        for (long i = 0; i < elements; i++) destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    internal static void F64(double* source, long elements, float* destination)
    {
        for (long i = 0; i < elements; i++) destination[i] = (float)source[i];
    }
}
