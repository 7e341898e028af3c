namespace Lowbit.Kernels.Levels;

/// <summary>How the level of a code is found.</summary>
internal enum LevelKind
{
    /// <summary>In a table of 16, which may change from group to group.</summary>
    Table,
    /// <summary>As <see cref="Floats.SmallFloat.E2M3"/>.</summary>
    E2M3,
    /// <summary>As <see cref="Floats.SmallFloat.E3M2"/>.</summary>
    E3M2,
    /// <summary>As <see cref="Floats.SmallFloat.E4M3"/>.</summary>
    E4M3,
    /// <summary>As <see cref="Floats.SmallFloat.E5M2"/>.</summary>
    E5M2,
    /// <summary>As <see cref="Floats.SmallFloat.Int8"/>, times 64.</summary>
    Int8,
}

/// <summary>A row of codes in runs of 64 columns, ready to be multiplied: weight = level(code) · scale.</summary>
internal unsafe struct LevelRow
{
    /// <summary>Columns of a run.</summary>
    public const int RunLength = 64;

    /// <summary>Levels that a table has room for.</summary>
    public const int TableLength = 16;

    /// <summary>Scales of a run that there is room for.</summary>
    public const int MostScales = 4;

    /// <summary>The first run; runs lie as <see cref="Packing.CodeBlock"/> has them.</summary>
    public byte* Codes;

    /// <summary>Runs of the row.</summary>
    public int Runs;

    /// <summary>Bits of a code.</summary>
    public int Bits;

    /// <summary>[runs · 64] bits that are added to the codes, or null.</summary>
    public byte* Classes;

    /// <summary>[tables, 16] for <see cref="LevelKind.Table"/>.</summary>
    public float* Tables;

    /// <summary>Runs that share a table.</summary>
    public int RunsOfTable;

    /// <summary>Whether codes, classes included, are below 8.</summary>
    public bool IsSmallTable;

    /// <summary>[runs · <see cref="ScalesOfRun"/> and room for three more], or null for scales of 1.</summary>
    public float* Scales;

    /// <summary>1, 2 or 4: scales of 64, 32 or 16 columns.</summary>
    public int ScalesOfRun;
}
