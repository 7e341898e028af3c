// 8-bit Optimizers via Block-wise Quantization
// Dettmers, Lewis, Shleifer, Zettlemoyer; ICLR 2022, arXiv 2110.02861, section 2; code: bitsandbytes, functional.py.
//
// Problem   the optimizer's two means take twice the memory of the weights
// Formula   in blocks of 256:  c = max |x|,  q = argmin_k |x / c − d_k|,  x ≈ c · d_q
//           d: the dynamic map of 256 levels; decades 10⁻⁷ … 1, each with twice the levels of the one below it, zero and one
//           among them; with signs for means of gradients, without for those of squares
// Bits      8, and 32 / 256
// Departs   every parameter is kept so; the paper leaves embeddings in 32 bits.

using System;
using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Training.Optimization;

/// <summary>Running means of a parameter's elements, in float32 or in eight bits with a scale for every block.</summary>
internal sealed unsafe class RunningMeans : IDisposable
{
    /// <summary>Elements that share a scale, and that are read and written together.</summary>
    public const int Block = 256;

    private static readonly float[] s_signed = DynamicMap(signed: true), s_unsigned = DynamicMap(signed: false);

    private readonly long _count;
    private readonly float[] _levels;

    /// <summary>Allocates means of zero.</summary>
    /// <param name="count">Elements.</param>
    /// <param name="eightBit">Whether they are kept in eight bits.</param>
    /// <param name="signed">Whether they may be negative.</param>
    public RunningMeans(long count, bool eightBit, bool signed)
    {
        _count = count;
        _levels = signed ? s_signed : s_unsigned;
        Values = new NativeBuffer(eightBit ? count : count * sizeof(float));
        if (!eightBit) return;
        Scales = new NativeBuffer((count + Block - 1) / Block * sizeof(float));
        Values.Span<byte>(0, checked((int)count)).Fill((byte)Nearest(0));
    }

    /// <summary>[count] in float32, or codes in U8.</summary>
    public NativeBuffer Values { get; }

    /// <summary>Scale of every block; null in float32.</summary>
    public NativeBuffer? Scales { get; }

    /// <summary>The means of a block, in place or rebuilt.</summary>
    /// <param name="block">Number of the block.</param>
    /// <param name="scratch">[<see cref="Block"/>], used where they must be rebuilt.</param>
    public float* Read(long block, float* scratch)
    {
        long first = block * Block;
        if (Scales is null) return Values.Floats + first;
        float scale = Scales.Floats[block];
        int length = (int)Math.Min(Block, _count - first);
        for (int i = 0; i < length; i++) scratch[i] = scale * _levels[Values.Pointer[first + i]];
        return scratch;
    }

    /// <summary>Keeps what <see cref="Read"/> gave, changed.</summary>
    public void Write(long block, float* means)
    {
        if (Scales is null) return;
        long first = block * Block;
        int length = (int)Math.Min(Block, _count - first);
        float largest = 0;
        for (int i = 0; i < length; i++) largest = MathF.Max(largest, MathF.Abs(means[i]));
        Scales.Floats[block] = largest;
        float inverse = largest > 0 ? 1 / largest : 0;
        for (int i = 0; i < length; i++) Values.Pointer[first + i] = (byte)Nearest(float.IsFinite(inverse) ? means[i] * inverse : means[i] / largest);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Values.Dispose();
        Scales?.Dispose();
    }

    private int Nearest(float value)
    {
        int low = 0, high = _levels.Length - 1;
        while (high - low > 1)
        {
            int middle = (low + high) / 2;
            if (_levels[middle] <= value) low = middle;
            else high = middle;
        }
        return value - _levels[low] <= _levels[high] - value ? low : high;
    }

    /// <summary>256 levels, rising.</summary>
    internal static float[] DynamicMap(bool signed)
    {
        const int decades = 7;
        List<float> levels = [0, 1];
        for (int d = 0; d < decades; d++)
        {
            int count = 1 << (signed ? d : d + 1);
            double decade = Math.Pow(10, d - (decades - 1));
            for (int i = 0; i < count; i++)
            {
                float level = (float)(decade * (0.1 + 0.9 * (i + 0.5) / count));
                levels.Add(level);
                if (signed) levels.Add(-level);
            }
        }
        levels.Sort();
        return [.. levels];
    }
}
