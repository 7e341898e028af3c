namespace Lowbit.Core;

/// <summary>
/// How the elements of a tensor lie in memory: one number after the other, or blocks of numbers that share scales.
/// Names are the ones in the files: safetensors' for plain numbers, ggml's for blocks.
/// </summary>
public enum ElementFormat
{
    /// <summary>IEEE 754 binary32.</summary>
    F32,
    /// <summary>IEEE 754 binary16.</summary>
    F16,
    /// <summary>The upper half of a binary32.</summary>
    BF16,
    /// <summary>IEEE 754 binary64.</summary>
    F64,
    /// <summary>One byte a truth value, 0 or 1.</summary>
    Bool,
    /// <summary>Unsigned 8-bit integer; also the carrier of packed data whose layout is declared elsewhere.</summary>
    U8,
    /// <summary>Signed 8-bit integer.</summary>
    I8,
    /// <summary>Unsigned 16-bit integer.</summary>
    U16,
    /// <summary>Signed 16-bit integer.</summary>
    I16,
    /// <summary>Unsigned 32-bit integer.</summary>
    U32,
    /// <summary>Signed 32-bit integer.</summary>
    I32,
    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
    /// <summary>Signed 64-bit integer.</summary>
    I64,
    /// <summary>8-bit float, 4 exponent and 3 fraction bits.</summary>
    F8_E4M3,
    /// <summary>8-bit float, 5 exponent and 2 fraction bits.</summary>
    F8_E5M2,
    /// <summary>ggml: 32 weights, 4-bit codes, one scale.</summary>
    Q4_0,
    /// <summary>ggml: 32 weights, 4-bit codes, scale and minimum.</summary>
    Q4_1,
    /// <summary>ggml: 32 weights, 5-bit codes, one scale.</summary>
    Q5_0,
    /// <summary>ggml: 32 weights, 5-bit codes, scale and minimum.</summary>
    Q5_1,
    /// <summary>ggml: 32 weights, 8-bit codes, one scale.</summary>
    Q8_0,
    /// <summary>ggml: 256 weights, 2-bit codes, 4-bit scales and minimums of 16.</summary>
    Q2_K,
    /// <summary>ggml: 256 weights, 3-bit codes, 6-bit scales of 16.</summary>
    Q3_K,
    /// <summary>ggml: 256 weights, 4-bit codes, 6-bit scales and minimums of 32.</summary>
    Q4_K,
    /// <summary>ggml: 256 weights, 5-bit codes, 6-bit scales and minimums of 32.</summary>
    Q5_K,
    /// <summary>ggml: 256 weights, 6-bit codes, 8-bit scales of 16.</summary>
    Q6_K,
    /// <summary>ggml: 32 weights, 4-bit codes into a table of 16 levels, one scale.</summary>
    IQ4_NL,
    /// <summary>ggml: 256 ternary weights, five to a byte, one scale.</summary>
    TQ1_0,
    /// <summary>ggml: 256 ternary weights, two bits each, one scale.</summary>
    TQ2_0,
    /// <summary>OCP microscaling: 32 weights E2M1, one E8M0 scale.</summary>
    MXFP4,
    /// <summary>A ggml type that this version can name and measure but not read.</summary>
    Unsupported,
}

/// <summary>Sizes and names of the element formats.</summary>
public static class ElementFormats
{
    /// <summary>Number of consecutive elements of a row that form one block; 1 for plain numbers.</summary>
    public static int BlockLength(this ElementFormat format) => format switch
    {
        ElementFormat.Q4_0 or ElementFormat.Q4_1 or ElementFormat.Q5_0 or ElementFormat.Q5_1 or ElementFormat.Q8_0
            or ElementFormat.IQ4_NL or ElementFormat.MXFP4 => 32,
        ElementFormat.Q2_K or ElementFormat.Q3_K or ElementFormat.Q4_K or ElementFormat.Q5_K or ElementFormat.Q6_K
            or ElementFormat.TQ1_0 or ElementFormat.TQ2_0 => 256,
        _ => 1,
    };

    /// <summary>Bytes of one block.</summary>
    public static int BlockBytes(this ElementFormat format) => format switch
    {
        ElementFormat.Bool or ElementFormat.U8 or ElementFormat.I8 or ElementFormat.F8_E4M3 or ElementFormat.F8_E5M2 => 1,
        ElementFormat.F16 or ElementFormat.BF16 or ElementFormat.U16 or ElementFormat.I16 => 2,
        ElementFormat.F32 or ElementFormat.U32 or ElementFormat.I32 => 4,
        ElementFormat.F64 or ElementFormat.U64 or ElementFormat.I64 => 8,
        ElementFormat.Q4_0 or ElementFormat.IQ4_NL => 18,
        ElementFormat.Q4_1 => 20,
        ElementFormat.Q5_0 => 22,
        ElementFormat.Q5_1 => 24,
        ElementFormat.Q8_0 => 34,
        ElementFormat.MXFP4 => 17,
        ElementFormat.Q2_K => 84,
        ElementFormat.Q3_K => 110,
        ElementFormat.Q4_K => 144,
        ElementFormat.Q5_K => 176,
        ElementFormat.Q6_K => 210,
        ElementFormat.TQ1_0 => 54,
        ElementFormat.TQ2_0 => 66,
        _ => 0,
    };

    /// <summary>Bytes of <paramref name="elements"/> consecutive elements, a whole number of blocks.</summary>
    public static long ByteCount(this ElementFormat format, long elements) =>
        checked(elements / format.BlockLength() * format.BlockBytes());

    /// <summary>Whether the elements are real numbers that <c>Dequantize</c> can turn into floats.</summary>
    public static bool IsReal(this ElementFormat format) =>
        format is ElementFormat.F32 or ElementFormat.F16 or ElementFormat.BF16 or ElementFormat.F64 || format.BlockLength() > 1;
}
