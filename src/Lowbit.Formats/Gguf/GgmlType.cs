using Lowbit.Core;

namespace Lowbit.Formats.Gguf;

/// <summary>A number in a GGUF file that names an element type: its name, sizes, and our format where we can read it.</summary>
internal readonly record struct GgmlType(string Name, ElementFormat Format, int BlockLength, int BlockBytes)
{
    /// <summary>The type, or null where the number is unassigned or its type was withdrawn.</summary>
    internal static GgmlType? Find(uint id) => id switch
    {
        0 => Readable(ElementFormat.F32),
        1 => Readable(ElementFormat.F16),
        2 => Readable(ElementFormat.Q4_0),
        3 => Readable(ElementFormat.Q4_1),
        6 => Readable(ElementFormat.Q5_0),
        7 => Readable(ElementFormat.Q5_1),
        8 => Readable(ElementFormat.Q8_0),
        9 => Measurable("Q8_1", 32, 36),
        10 => Readable(ElementFormat.Q2_K),
        11 => Readable(ElementFormat.Q3_K),
        12 => Readable(ElementFormat.Q4_K),
        13 => Readable(ElementFormat.Q5_K),
        14 => Readable(ElementFormat.Q6_K),
        15 => Measurable("Q8_K", 256, 292),
        16 => Measurable("IQ2_XXS", 256, 66),
        17 => Measurable("IQ2_XS", 256, 74),
        18 => Measurable("IQ3_XXS", 256, 98),
        19 => Measurable("IQ1_S", 256, 50),
        20 => Readable(ElementFormat.IQ4_NL),
        21 => Measurable("IQ3_S", 256, 110),
        22 => Measurable("IQ2_S", 256, 82),
        23 => Measurable("IQ4_XS", 256, 136),
        24 => Readable(ElementFormat.I8),
        25 => Readable(ElementFormat.I16),
        26 => Readable(ElementFormat.I32),
        27 => Readable(ElementFormat.I64),
        28 => Readable(ElementFormat.F64),
        29 => Measurable("IQ1_M", 256, 56),
        30 => Readable(ElementFormat.BF16),
        34 => Readable(ElementFormat.TQ1_0),
        35 => Readable(ElementFormat.TQ2_0),
        39 => Readable(ElementFormat.MXFP4),
        40 => Measurable("NVFP4", 64, 36),
        41 => Measurable("Q1_0", 128, 18),
        _ => null,
    };

    /// <summary>The number of a type by its name, or null where ggml has none of that name.</summary>
    internal static uint? Number(string name)
    {
        const uint end = 64;
        for (uint id = 0; id < end; id++)
        {
            if (Find(id)?.Name == name) return id;
        }
        return null;
    }

    private static GgmlType Readable(ElementFormat format) => new(format.ToString(), format, format.BlockLength(), format.BlockBytes());

    private static GgmlType Measurable(string name, int blockLength, int blockBytes) => new(name, ElementFormat.Unsupported, blockLength, blockBytes);
}
