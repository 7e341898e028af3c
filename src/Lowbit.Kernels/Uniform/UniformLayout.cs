using Lowbit.Core;

namespace Lowbit.Kernels.Uniform;

/// <summary>
/// The numbers that say how the parts of a packed matrix on uniform grids lie; the bytes themselves are described in
/// docs/formats/uniform.md.
/// </summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="Bits">Bits of a code, 2 to 8.</param>
/// <param name="GroupSize">Consecutive stored columns that share scale and zero.</param>
/// <param name="ScaleFormat">F16 or F32.</param>
/// <param name="RealZeros">Whether zeros lie between codes, in the format of the scales, instead of being codes, in U8.</param>
/// <param name="Reordered">Whether columns are stored in another order than the natural one, which a part of its own tells.</param>
/// <param name="Nested">Whether scales are codes themselves; see <see cref="NestedScales"/>.</param>
public sealed record UniformLayout(int Rows, int Columns, int Bits, int GroupSize, ElementFormat ScaleFormat, bool RealZeros = false, bool Reordered = false, bool Nested = false)
{
    /// <summary>Columns of a block.</summary>
    public const int BlockLength = 64;

    /// <summary>Blocks of a row; the last one is padded with zeros.</summary>
    public int Blocks => (int)(((long)Columns + BlockLength - 1) / BlockLength);

    /// <summary>Groups of a row.</summary>
    public int Groups => (int)(((long)Columns + GroupSize - 1) / GroupSize);

    /// <summary>Bytes of the codes of a block.</summary>
    public int BlockBytes => BlockLength / 8 * Bits;

    /// <summary>Bytes of all codes.</summary>
    public long CodeBytes => (long)Rows * Blocks * BlockBytes;

    /// <summary>Elements of the table of scales and of that of zeros.</summary>
    public long Parameters => (long)Rows * Groups;

    /// <summary>Bytes of all scales and zeros.</summary>
    public long ScaleBytes => Nested
        ? NestedScales.PackedBytes(Parameters, NestedScales.Bits) + NestedScales.PackedBytes(Parameters, Bits) + ScaleFormat.ByteCount(NestedScales.Tables(Rows, Groups))
        : ScaleFormat.ByteCount(Parameters) + ZeroFormat.ByteCount(Parameters);

    /// <summary>Format of the zeros.</summary>
    public ElementFormat ZeroFormat => RealZeros ? ScaleFormat : ElementFormat.U8;

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public UniformLayout Check(string name)
    {
        LayoutCheck check = new(name, "uniform layout", Rows, Columns);
        check.Require(Bits is >= 2 and <= 8, nameof(Bits), Bits, "2 to 8");
        check.Require(GroupSize > 0, nameof(GroupSize), GroupSize, "a positive number");
        check.Require(!(Nested && RealZeros), nameof(RealZeros), RealZeros, "false beside nested scales");
        check.Require(ScaleFormat is ElementFormat.F16 or ElementFormat.F32, nameof(ScaleFormat), ScaleFormat, "F16 or F32");
        return this;
    }
}
