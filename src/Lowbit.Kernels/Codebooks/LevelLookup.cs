using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Lowbit.Kernels.Codebooks;

/// <summary>destination[i] = table[indices[i]] for tables of at most 32 levels.</summary>
internal unsafe interface ILevelLookup
{
    /// <summary>Levels that a table has room for; those after the last one are never taken.</summary>
    const int TableLength = 32;

    /// <summary>Looks up.</summary>
    /// <param name="indices">[count].</param>
    /// <param name="count">Weights.</param>
    /// <param name="table">[<see cref="TableLength"/>].</param>
    /// <param name="entries">Levels of the table.</param>
    /// <param name="destination">[count].</param>
    static abstract void Run(byte* indices, int count, float* table, int entries, float* destination);
}

/// <summary>The oracle.</summary>
internal readonly unsafe struct LevelLookupScalar : ILevelLookup
{
    public static void Run(byte* indices, int count, float* table, int entries, float* destination)
    {
        for (int i = 0; i < count; i++) destination[i] = table[indices[i]];
    }
}

/// <summary>Eight weights a step: permutations of eight levels look at the lower three bits of an index, blends take the others.</summary>
internal readonly unsafe struct LevelLookupAvx2 : ILevelLookup
{
    public static bool IsSupported => Avx2.IsSupported && VectorLimit.Bits >= 256;

    public static void Run(byte* indices, int count, float* table, int entries, float* destination)
    {
        Vector256<float> t0 = Vector256.Load(table), t1 = Vector256.Load(table + 8), t2 = Vector256.Load(table + 16), t3 = Vector256.Load(table + 24);
        int i = 0;
        for (; i <= count - 8; i += 8)
        {
            Vector256<int> index = Avx2.ConvertToVector256Int32(indices + i);
            Vector256<float> level = Avx2.PermuteVar8x32(t0, index);
            if (entries > 8)
            {
                Vector256<float> bit3 = Vector256.ShiftLeft(index, 28).AsSingle();
                level = Avx.BlendVariable(level, Avx2.PermuteVar8x32(t1, index), bit3);
                if (entries > 16)
                {
                    Vector256<float> upper = Avx.BlendVariable(Avx2.PermuteVar8x32(t2, index), Avx2.PermuteVar8x32(t3, index), bit3);
                    level = Avx.BlendVariable(level, upper, Vector256.ShiftLeft(index, 27).AsSingle());
                }
            }
            level.Store(destination + i);
        }
        LevelLookupScalar.Run(indices + i, count - i, table, entries, destination + i);
    }
}

/// <summary>Sixteen weights a step.</summary>
internal readonly unsafe struct LevelLookupAvx512 : ILevelLookup
{
    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512F.IsSupported && VectorLimit.Bits >= 512;

    public static void Run(byte* indices, int count, float* table, int entries, float* destination)
    {
        Vector512<float> lower = Vector512.Load(table), upper = Vector512.Load(table + 16);
        int i = 0;
        for (; i <= count - 16; i += 16)
        {
            Vector512<int> index = Avx512F.ConvertToVector512Int32(Vector128.Load(indices + i));
            (entries > 16 ? Avx512F.PermuteVar16x32x2(lower, index, upper) : Avx512F.PermuteVar16x32(lower, index)).Store(destination + i);
        }
        LevelLookupScalar.Run(indices + i, count - i, table, entries, destination + i);
    }
}
