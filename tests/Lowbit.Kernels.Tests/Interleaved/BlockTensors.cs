using System;
using System.Collections.Immutable;
using Lowbit.Core;

namespace Lowbit.Kernels.Tests.Interleaved;

/// <summary>Random blocks of ggml's formats, in memory that ends where they end.</summary>
internal static unsafe class BlockTensors
{
    /// <summary>All bytes are random but those of the factors, which are small numbers of both signs.</summary>
    public static Tensor Random(ElementFormat format, int rows, int columns, int seed, bool extreme = false)
    {
        GuardedMemory memory = new(format.ByteCount((long)rows * columns));
        Random random = new(seed);
        if (extreme) memory.Span.Fill(format == ElementFormat.Q8_0 ? (byte)0x80 : (byte)0xFF);
        else random.NextBytes(memory.Span);
        for (int block = 0; block < memory.Length; block += format.BlockBytes())
        {
            if (format == ElementFormat.MXFP4) memory.Pointer[block] = (byte)random.Next(118, 128);
            foreach (int offset in Factors(format))
                *(Half*)(memory.Pointer + block + offset) = (Half)(random.Next(20) == 0 ? 3e-7f : 0.1f * random.NextSingle() - 0.05f);
        }
        return new Tensor("blk.0.weight", format, ImmutableArray.Create<long>(rows, columns), memory.Pointer, memory.Length, memory);
    }

    /// <summary>Where a block has its factors in half precision.</summary>
    public static int[] Factors(ElementFormat format) => format switch
    {
        ElementFormat.Q4_0 or ElementFormat.Q8_0 or ElementFormat.Q5_0 or ElementFormat.IQ4_NL => [0],
        ElementFormat.Q4_1 or ElementFormat.Q5_1 or ElementFormat.Q4_K or ElementFormat.Q5_K => [0, 2],
        ElementFormat.MXFP4 => [],
        ElementFormat.Q2_K => [80, 82],
        ElementFormat.Q3_K => [108],
        ElementFormat.Q6_K => [208],
        ElementFormat.TQ1_0 => [52],
        ElementFormat.TQ2_0 => [64],
        _ => throw new ArgumentOutOfRangeException(nameof(format)),
    };
}
