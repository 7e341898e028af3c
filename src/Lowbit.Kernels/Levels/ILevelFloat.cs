namespace Lowbit.Kernels.Levels;

/// <summary>A small float as constants of a compiled kernel.</summary>
internal interface ILevelFloat
{
    static abstract int FractionBits { get; }
    static abstract int Bias { get; }

    /// <summary>Code of the largest number.</summary>
    static abstract int Largest { get; }
}

internal readonly struct LevelE2M3 : ILevelFloat
{
    public static int FractionBits => 3;
    public static int Bias => 1;
    public static int Largest => 0x1F;
}

internal readonly struct LevelE3M2 : ILevelFloat
{
    public static int FractionBits => 2;
    public static int Bias => 3;
    public static int Largest => 0x1F;
}

internal readonly struct LevelE4M3 : ILevelFloat
{
    public static int FractionBits => 3;
    public static int Bias => 7;
    public static int Largest => 0x7E;
}

internal readonly struct LevelE5M2 : ILevelFloat
{
    public static int FractionBits => 2;
    public static int Bias => 15;
    public static int Largest => 0x7B;
}
