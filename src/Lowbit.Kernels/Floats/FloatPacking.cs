using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels.Packing;

namespace Lowbit.Kernels.Floats;

/// <summary>
/// The numbers that say how the parts of a packed matrix of small floats lie; the bytes themselves are described in
/// docs/formats/floats.md.
/// </summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="Element">Format of the numbers.</param>
/// <param name="BlockSize">Consecutive columns that share a scale.</param>
/// <param name="ScaleFormat">How the scales are stored.</param>
public sealed record FloatLayout(int Rows, int Columns, SmallFloat Element, int BlockSize, BlockScale ScaleFormat)
{
    /// <summary>Columns of a run of codes.</summary>
    public const int RunLength = 64;

    /// <summary>Runs of codes of a row; the last one is padded with zeros.</summary>
    public int Runs => (int)(((long)Columns + RunLength - 1) / RunLength);

    /// <summary>Bytes of a run.</summary>
    public int RunBytes => RunLength / 8 * Element.Bits;

    /// <summary>Blocks of a row.</summary>
    public int Blocks => (int)(((long)Columns + BlockSize - 1) / BlockSize);

    /// <summary>Bytes of all codes.</summary>
    public long CodeBytes => (long)Rows * Runs * RunBytes;

    /// <summary>Number of scales.</summary>
    public long Scales => (long)Rows * Blocks;

    /// <summary>Format of the tensor of scales.</summary>
    public ElementFormat StoredScale => ScaleFormat switch { BlockScale.F16 => ElementFormat.F16, BlockScale.F32 => ElementFormat.F32, _ => ElementFormat.U8 };

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public FloatLayout Check(string name)
    {
        LayoutCheck check = new(name, "layout of floats", Rows, Columns);
        check.Require(BlockSize > 0, nameof(BlockSize), BlockSize, "a positive number");
        check.Require(Enum.IsDefined(ScaleFormat), nameof(ScaleFormat), ScaleFormat, "F16, F32, E8M0 or E4M3");
        return this;
    }
}

/// <summary>Packs codes into the bytes that are stored and computed from; see docs/formats/floats.md.</summary>
public static unsafe class FloatPacking
{
    /// <summary>[rows, runs · run bytes] codes.</summary>
    public const string Codes = "f_codes";

    /// <summary>[rows, blocks] scales.</summary>
    public const string Scale = "f_scale";

    /// <summary>[1] what all scales are multiplied with; only with scales in E4M3.</summary>
    public const string MatrixScale = "f_matrix_scale";

    /// <summary>All parts that a matrix may have.</summary>
    public static ImmutableArray<string> Suffixes { get; } = [Codes, Scale, MatrixScale];

    /// <summary>Packs a matrix.</summary>
    /// <param name="codes">The matrix.</param>
    /// <exception cref="LowbitException">A code is outside of its range, or the format of the scales does not hold one exactly.</exception>
    public static Packed<FloatLayout> Pack(FloatCodes codes)
    {
        FloatLayout layout = new(codes.Rows, codes.Columns, codes.Element, codes.BlockSize, codes.ScaleFormat);
        layout.Check("the matrix to pack");
        byte[] packed = new byte[layout.CodeBytes];
        byte* run = stackalloc byte[FloatLayout.RunLength];
        fixed (byte* target = packed)
        {
            for (int r = 0; r < layout.Rows; r++)
                for (int b = 0; b < layout.Runs; b++)
                {
                    new Span<byte>(run, FloatLayout.RunLength).Clear();
                    int first = b * FloatLayout.RunLength;
                    for (int i = 0; i < Math.Min(FloatLayout.RunLength, layout.Columns - first); i++)
                    {
                        run[i] = codes.Codes[(long)r * layout.Columns + first + i];
                        if (run[i] >> layout.Element.Bits != 0 || !float.IsFinite(layout.Element.Decode(run[i])))
                            throw new LowbitException($"the matrix to pack: code {run[i]} at [{r}, {first + i}] is no number of {layout.Element.Name}; the method that made it is at fault.");
                    }
                    CodeBlock.Pack(run, layout.Element.Bits, target + ((long)r * layout.Runs + b) * layout.RunBytes);
                }
        }
        List<PackedPart> parts = [new(Codes, ElementFormat.U8, [layout.Rows, (long)layout.Runs * layout.RunBytes], packed), new(Scale, layout.StoredScale, [layout.Rows, layout.Blocks], Scales(codes))];
        if (codes.ScaleFormat == BlockScale.E4M3)
        {
            if (!float.IsFinite(codes.MatrixScale)) throw new LowbitException($"the matrix to pack: its scale is {codes.MatrixScale}, a finite number was expected; look for the fault in the weight.");
            byte[] scale = new byte[sizeof(float)];
            BinaryPrimitives.WriteSingleLittleEndian(scale, codes.MatrixScale);
            parts.Add(new(MatrixScale, ElementFormat.F32, [1], scale));
        }
        return new Packed<FloatLayout>(layout, [.. parts]);
    }

    /// <summary>A scale of one byte.</summary>
    internal static float Decode(BlockScale format, byte code) => format == BlockScale.E8M0 ? MathF.ScaleB(1, code - 127) : SmallFloat.E4M3.Decode(code);

    private static byte[] Scales(FloatCodes codes)
    {
        switch (codes.ScaleFormat)
        {
            case BlockScale.F32:
                int wrong = Array.FindIndex(codes.Scales, scale => !float.IsFinite(scale));
                return wrong < 0 ? MemoryMarshal.AsBytes<float>(codes.Scales).ToArray()
                    : throw new LowbitException($"the matrix to pack: scale {wrong} is {codes.Scales[wrong]}, a finite number was expected; look for the fault in the weight.");
            case BlockScale.F16:
                return Composite.HalfPart.Of(Scale, codes.Scales, [codes.Scales.Length]).Bytes;
            default:
                byte[] bytes = new byte[codes.Scales.Length];
                for (int i = 0; i < bytes.Length; i++)
                {
                    float scale = codes.Scales[i];
                    bytes[i] = codes.ScaleFormat == BlockScale.E8M0
                        ? (byte)(scale > 0 && float.IsFinite(scale) ? Math.Clamp(Math.ILogB(scale) + 127, 0, 254) : 0)
                        : (byte)(float.IsFinite(scale) ? SmallFloat.E4M3.Encode(scale) : 0);
                    if (Decode(codes.ScaleFormat, bytes[i]) != scale)
                        throw new LowbitException($"the matrix to pack: scale {i} is {scale}, which {codes.ScaleFormat} does not hold; the method that made it has to round its scales.");
                }
                return bytes;
        }
    }
}
