using System;
using System.Runtime.InteropServices;

namespace Lowbit.Kernels.Blocks;

// The bytes of ggml's blocks, field by field, without padding; all integers and halves are little endian.
// Formulas: w is the weight, q its code as an unsigned number of the bits named.

/// <summary>32 weights, 18 bytes: w = Scale · (q − 8), q of 4 bits; Codes[i] holds weight i low and weight i + 16 high.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ4_0
{
    /// <summary>Step.</summary>
    public Half Scale;
    /// <summary>32 codes of 4 bits.</summary>
    public fixed byte Codes[16];
}

/// <summary>32 weights, 20 bytes: w = Scale · q + Minimum, q of 4 bits, packed as in <see cref="BlockQ4_0"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ4_1
{
    /// <summary>Step.</summary>
    public Half Scale;
    /// <summary>Weight of code 0.</summary>
    public Half Minimum;
    /// <summary>32 codes of 4 bits.</summary>
    public fixed byte Codes[16];
}

/// <summary>32 weights, 22 bytes: w = Scale · (q − 16), q of 5 bits.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ5_0
{
    /// <summary>Step.</summary>
    public Half Scale;
    /// <summary>Bit i is the fifth bit of weight i.</summary>
    public uint HighBits;
    /// <summary>The lower 4 bits, packed as in <see cref="BlockQ4_0"/>.</summary>
    public fixed byte Codes[16];
}

/// <summary>32 weights, 24 bytes: w = Scale · q + Minimum, q of 5 bits.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ5_1
{
    /// <summary>Step.</summary>
    public Half Scale;
    /// <summary>Weight of code 0.</summary>
    public Half Minimum;
    /// <summary>Bit i is the fifth bit of weight i.</summary>
    public uint HighBits;
    /// <summary>The lower 4 bits, packed as in <see cref="BlockQ4_0"/>.</summary>
    public fixed byte Codes[16];
}

/// <summary>32 weights, 34 bytes: w = Scale · q, q a signed byte.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ8_0
{
    /// <summary>Step.</summary>
    public Half Scale;
    /// <summary>32 codes.</summary>
    public fixed sbyte Codes[32];
}

/// <summary>
/// 256 weights, 84 bytes: w = (Scale · s) · q − (MinimumScale · m), q of 2 bits; s and m are shared by 16 weights.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ2_K
{
    /// <summary>Sub-block j: s in the low nibble, m in the high one.</summary>
    public fixed byte Scales[16];
    /// <summary>Two halves of 128 weights; byte l of a half holds weights l, l + 32, l + 64, l + 96, low bits first.</summary>
    public fixed byte Codes[64];
    /// <summary>Step of the scales.</summary>
    public Half Scale;
    /// <summary>Step of the minimums.</summary>
    public Half MinimumScale;
}

/// <summary>256 weights, 110 bytes: w = (Scale · (s − 32)) · (q − 4), q of 3 bits, s of 6 bits shared by 16 weights.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ3_K
{
    /// <summary>Bit j of byte l is the third bit of weight 32 j + l.</summary>
    public fixed byte HighBits[32];
    /// <summary>The lower 2 bits, packed as in <see cref="BlockQ2_K"/>.</summary>
    public fixed byte Codes[64];
    /// <summary>Bytes 0 to 7: lower 4 bits of s (j low, j + 8 high); bytes 8 to 11: upper 2 bits of s[j % 4], at 2 (j / 4).</summary>
    public fixed byte Scales[12];
    /// <summary>Step of the scales.</summary>
    public Half Scale;
}

/// <summary>
/// 256 weights, 144 bytes: w = (Scale · s) · q − (MinimumScale · m), q of 4 bits, s and m of 6 bits shared by 32 weights.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ4_K
{
    /// <summary>Step of the scales.</summary>
    public Half Scale;
    /// <summary>Step of the minimums.</summary>
    public Half MinimumScale;
    /// <summary>
    /// s and m of sub-blocks 0 to 3 are the low 6 bits of bytes j and j + 4; of sub-blocks 4 to 7 the lower 4 bits are
    /// the nibbles of byte j + 4 and the upper 2 bits the top of bytes j − 4 and j.
    /// </summary>
    public fixed byte Scales[12];
    /// <summary>Four runs of 64 weights; byte l of a run holds weight l low and weight l + 32 high.</summary>
    public fixed byte Codes[128];
}

/// <summary>256 weights, 176 bytes: <see cref="BlockQ4_K"/> with codes of 5 bits.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ5_K
{
    /// <summary>Step of the scales.</summary>
    public Half Scale;
    /// <summary>Step of the minimums.</summary>
    public Half MinimumScale;
    /// <summary>As in <see cref="BlockQ4_K"/>.</summary>
    public fixed byte Scales[12];
    /// <summary>Bit j of byte l is the fifth bit of weight 32 j + l.</summary>
    public fixed byte HighBits[32];
    /// <summary>The lower 4 bits, packed as in <see cref="BlockQ4_K"/>.</summary>
    public fixed byte Codes[128];
}

/// <summary>256 weights, 210 bytes: w = (Scale · s) · (q − 32), q of 6 bits, s a signed byte shared by 16 weights.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockQ6_K
{
    /// <summary>Lower 4 bits; two halves of 128 weights; byte l of a half holds weight l low and weight l + 64 high.</summary>
    public fixed byte Codes[128];
    /// <summary>Upper 2 bits; byte l of a half holds weights l, l + 32, l + 64, l + 96, low bits first.</summary>
    public fixed byte HighBits[64];
    /// <summary>s of 16 sub-blocks.</summary>
    public fixed sbyte Scales[16];
    /// <summary>Step of the scales.</summary>
    public Half Scale;
}

/// <summary>32 weights, 18 bytes: w = Scale · table[q], q of 4 bits, packed as in <see cref="BlockQ4_0"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockIQ4_NL
{
    /// <summary>Factor of the table.</summary>
    public Half Scale;
    /// <summary>32 codes of 4 bits.</summary>
    public fixed byte Codes[16];
}

/// <summary>32 weights, 17 bytes: w = 2^(Exponent − 128) · table[q], q of 4 bits, packed as in <see cref="BlockQ4_0"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockMXFP4
{
    /// <summary>E8M0; the table holds twice the E2M1 values, so the scale is half of 2^(Exponent − 127).</summary>
    public byte Exponent;
    /// <summary>32 codes of 4 bits.</summary>
    public fixed byte Codes[16];
}

/// <summary>256 ternary weights, 54 bytes: w = Scale · (t − 1), t of 0, 1, 2; a byte is a base-3 fraction of five (or four) digits.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockTQ1_0
{
    /// <summary>Bytes 0 to 31: digit n of byte m is weight 32 n + m; bytes 32 to 47: digit n of byte 32 + m is weight 160 + 16 n + m.</summary>
    public fixed byte Codes[48];
    /// <summary>Digit n of byte m is weight 240 + 4 n + m.</summary>
    public fixed byte Tail[4];
    /// <summary>Absolute value of the weights that are not zero.</summary>
    public Half Scale;
}

/// <summary>256 ternary weights, 66 bytes: w = Scale · (q − 1), q of 2 bits, packed as in <see cref="BlockQ2_K"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public unsafe struct BlockTQ2_0
{
    /// <summary>256 codes of 2 bits.</summary>
    public fixed byte Codes[64];
    /// <summary>Absolute value of the weights that are not zero.</summary>
    public Half Scale;
}
