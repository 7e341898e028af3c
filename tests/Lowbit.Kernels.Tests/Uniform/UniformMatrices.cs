using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Kernels.Tests.Uniform;

/// <summary>Makes matrices for tests and puts packed parts into memory that ends where they end.</summary>
internal static unsafe class UniformMatrices
{
    public static UniformCodes Random(int rows, int columns, int bits, int group, int seed, bool realZeros = false, bool scattered = false, bool extreme = false)
    {
        Random random = new(seed);
        int[]? groups = null;
        if (scattered)
        {
            groups = [.. Enumerable.Range(0, columns).Select(c => c / group)];
            random.Shuffle(groups);
        }
        UniformCodes codes = new(rows, columns, bits, group, groups, realZeros);
        for (int i = 0; i < codes.Codes.Length; i++) codes.Codes[i] = (byte)(extreme ? (1 << bits) - 1 : random.Next(1 << bits));
        for (int i = 0; i < codes.Scales.Length; i++)
        {
            codes.Scales[i] = (float)(Half)(0.01f + 0.1f * random.NextSingle());
            if (codes.RealZeros is null) codes.Zeros[i] = (byte)(extreme ? 0 : random.Next(1 << bits));
            else codes.RealZeros[i] = (float)(Half)((1 << bits) * random.NextSingle());
        }
        return codes;
    }

    public static WeightMatrix Load(Packed<UniformLayout> packed) => Load(packed.Layout, packed.Parts);

    public static WeightMatrix Load(UniformLayout layout, IEnumerable<PackedPart> parts) => UniformMatrix.Load("blk.0", layout, Tensors(parts));

    public static Dictionary<string, Tensor> Tensors(IEnumerable<PackedPart> parts)
    {
        Dictionary<string, Tensor> tensors = [];
        foreach (PackedPart part in parts)
        {
            GuardedMemory memory = new(part.Bytes.Length);
            part.Bytes.CopyTo(memory.Span);
            tensors[part.Suffix] = new Tensor($"blk.0.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return tensors;
    }
}
