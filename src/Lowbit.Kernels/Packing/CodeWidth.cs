namespace Lowbit.Kernels.Packing;

/// <summary>The width of a code as a constant of the compiled kernel.</summary>
internal interface ICodeWidth
{
    static abstract int Bits { get; }
}

internal readonly struct OneBit : ICodeWidth { public static int Bits => 1; }
internal readonly struct TwoBits : ICodeWidth { public static int Bits => 2; }
internal readonly struct ThreeBits : ICodeWidth { public static int Bits => 3; }
internal readonly struct FourBits : ICodeWidth { public static int Bits => 4; }
internal readonly struct FiveBits : ICodeWidth { public static int Bits => 5; }
internal readonly struct SixBits : ICodeWidth { public static int Bits => 6; }
internal readonly struct SevenBits : ICodeWidth { public static int Bits => 7; }
internal readonly struct EightBits : ICodeWidth { public static int Bits => 8; }
