using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;

namespace Lowbit.Kernels.Tests.PartiallyBinarized;

/// <summary>Makes matrices for tests and puts packed parts into memory that ends where they end.</summary>
internal static unsafe class PackedMatrices
{
    public static PartiallyBinarizedCodes Random(
        int rows, int columns, double salient, int lowBits, int highBits, int lowGroup, int highGroup, int seed = 1, bool extreme = false)
    {
        Random random = new(seed);
        PartiallyBinarizedCodes codes = new(rows, columns, lowBits, highBits, lowGroup, highGroup);
        for (int i = 0; i < codes.Codes.Length; i++)
        {
            codes.Salient[i] = random.NextDouble() < salient;
            int levels = 1 << (codes.Salient[i] ? highBits : lowBits);
            codes.Codes[i] = (byte)(extreme ? levels - 1 : random.Next(levels));
        }
        for (int i = 0; i < codes.LowMean.Length; i++)
        {
            codes.LowScale[i] = lowBits == 0 ? 0 : (float)(Half)(0.01f + random.NextSingle());
            codes.LowMean[i] = (float)(Half)(random.NextSingle() - 0.5f);
        }
        for (int i = 0; i < codes.HighScale.Length; i++)
        {
            codes.HighScale[i] = (float)(Half)(0.01f + 0.1f * random.NextSingle());
            codes.HighZero[i] = (byte)(extreme ? 0 : random.Next(1 << highBits));
        }
        return codes;
    }

    public static PartiallyBinarizedMatrix Load(Packed<PartiallyBinarizedLayout> packed) => Load(packed.Layout, packed.Parts);

    public static PartiallyBinarizedMatrix Load(PartiallyBinarizedLayout layout, IEnumerable<PackedPart> parts)
    {
        Dictionary<string, Tensor> tensors = [];
        foreach (PackedPart part in parts)
        {
            GuardedMemory memory = new(part.Bytes.Length);
            part.Bytes.CopyTo(memory.Span);
            tensors[part.Suffix] = new Tensor($"blk.0.{part.Suffix}", part.Format, part.Shape, memory.Pointer, part.Bytes.Length, memory);
        }
        return new PartiallyBinarizedMatrix("blk.0", layout, tensors);
    }
}
