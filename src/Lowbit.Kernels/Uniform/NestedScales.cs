using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using Lowbit.Core;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Uniform;

/// <summary>
/// Scales that are codes themselves: those of sixteen consecutive rows and a group have 3 bits and a grid of their own,
/// scale = lowest + step · code, rounded to the format of the scales. SpQR (arXiv 2306.03078, section 4.3) stores them so;
/// docs/formats/uniform.md says where the bytes lie.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="groups">Groups of a row.</param>
public sealed unsafe class NestedScales(int rows, int groups)
{
    /// <summary>Consecutive rows whose scales of a group share a grid.</summary>
    public const int Rows = 16;

    /// <summary>Bits of the code of a scale.</summary>
    public const int Bits = 3;

    /// <summary>The last code.</summary>
    public const int MaxCode = (1 << Bits) - 1;

    /// <summary>[rows, groups], codes of the scales.</summary>
    public byte[] Codes { get; } = new byte[(long)rows * groups];

    /// <summary>[⌈rows / 16⌉, groups, 2], lowest scale and step of a grid.</summary>
    public float[] Grids { get; } = new float[Tables(rows, groups)];

    /// <summary>Numbers of the grids of a matrix.</summary>
    public static long Tables(int rows, int groups) => ((long)rows + Rows - 1) / Rows * groups * 2;

    /// <summary>The scale of a code.</summary>
    /// <param name="lowest">Lowest scale.</param>
    /// <param name="step">Step.</param>
    /// <param name="code">The code.</param>
    /// <param name="format">F16 or F32.</param>
    public static float Decode(float lowest, float step, byte code, ElementFormat format)
    {
        float scale = lowest + step * code;
        return format == ElementFormat.F16 ? (float)(Half)scale : scale;
    }

    /// <summary>Codes of one width without rows: 64 a block, the last block filled with zeros.</summary>
    internal static byte[] PackCodes(ReadOnlySpan<byte> codes, int bits)
    {
        byte[] packed = new byte[PackedBytes(codes.Length, bits)];
        byte* block = stackalloc byte[UniformLayout.BlockLength];
        fixed (byte* target = packed)
        {
            for (int first = 0; first < codes.Length; first += UniformLayout.BlockLength)
            {
                Span<byte> filled = new(block, UniformLayout.BlockLength);
                filled.Clear();
                codes[first..Math.Min(codes.Length, first + UniformLayout.BlockLength)].CopyTo(filled);
                CodeBlock.Pack(block, bits, target + first / 8 * bits);
            }
        }
        return packed;
    }

    /// <summary>Replaces the parts of nested scales by plain ones, from which products are computed.</summary>
    /// <param name="name">Name of the matrix, for messages.</param>
    /// <param name="layout">How the parts lie.</param>
    /// <param name="parts">The tensors by the suffixes of <see cref="UniformPacking"/>.</param>
    /// <exception cref="LowbitException">A part is missing, has the wrong format or size, or a scale is not finite.</exception>
    public static IReadOnlyDictionary<string, Tensor> Expand(string name, UniformLayout layout, IReadOnlyDictionary<string, Tensor> parts)
    {
        layout.Check(name);
        List<object> owners = [];
        PartReader reader = new(name, parts, owners);
        long count = layout.Parameters;
        byte* scaleCodes = reader.Bytes(UniformPacking.Scale, ElementFormat.U8, PackedBytes(count, Bits));
        byte* zeroCodes = reader.Bytes(UniformPacking.Zero, ElementFormat.U8, PackedBytes(count, layout.Bits));
        long tables = Tables(layout.Rows, layout.Groups);
        byte* grids = reader.Scales(UniformPacking.Nested, layout.ScaleFormat, tables);
        bool half = layout.ScaleFormat == ElementFormat.F16;
        NativeBuffer scales = new(layout.ScaleFormat.ByteCount(count)), zeros = new(count);
        byte* codesOfScales = stackalloc byte[UniformLayout.BlockLength], codesOfZeros = stackalloc byte[UniformLayout.BlockLength];
        for (long i = 0; i < count; i++)
        {
            int within = (int)(i % UniformLayout.BlockLength);
            if (within == 0)
            {
                CodeBlock.Unpack(scaleCodes + i / 8 * Bits, Bits, codesOfScales);
                CodeBlock.Unpack(zeroCodes + i / 8 * layout.Bits, layout.Bits, codesOfZeros);
            }
            long grid = (i / layout.Groups / Rows * layout.Groups + i % layout.Groups) * 2;
            float scale = Decode(Number(grid), Number(grid + 1), codesOfScales[within], layout.ScaleFormat);
            if (half) ((Half*)scales.Pointer)[i] = (Half)scale;
            else scales.Floats[i] = scale;
            zeros.Pointer[i] = codesOfZeros[within];
        }
        ImmutableArray<long> shape = [layout.Rows, layout.Groups];
        return new Dictionary<string, Tensor>(parts)
        {
            [UniformPacking.Scale] = new Tensor(reader.NameOf(UniformPacking.Scale), layout.ScaleFormat, shape, scales.Pointer, layout.ScaleFormat.ByteCount(count), scales),
            [UniformPacking.Zero] = new Tensor(reader.NameOf(UniformPacking.Zero), ElementFormat.U8, shape, zeros.Pointer, count, zeros),
        };

        float Number(long i) => half ? FiniteHalf.ToFloat(((Half*)grids)[i]) : ((float*)grids)[i];
    }

    /// <summary>Bytes of <see cref="PackCodes"/>.</summary>
    internal static long PackedBytes(long codes, int bits) => (codes + UniformLayout.BlockLength - 1) / UniformLayout.BlockLength * (UniformLayout.BlockLength / 8) * bits;
}
