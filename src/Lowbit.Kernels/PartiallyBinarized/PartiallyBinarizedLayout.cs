using Lowbit.Core;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>How a file stores which weights are salient.</summary>
public enum PositionsForm
{
    /// <summary>One bit a weight; products read it as it lies in the file.</summary>
    Bitmap,
    /// <summary>Golomb-Rice code of the gaps; expanded to the bitmap when the model is loaded.</summary>
    Coded,
}

/// <summary>
/// The numbers that say how the parts of a packed partially binarized matrix lie; the bytes themselves are described in
/// docs/formats/partially-binarized.md.
/// </summary>
/// <param name="Rows">Output features.</param>
/// <param name="Columns">Input features.</param>
/// <param name="LowBits">Bits of a low weight: 0, 1 or 2.</param>
/// <param name="HighBits">Bits of a salient weight, 2 to 8.</param>
/// <param name="LowGroupSize">Consecutive columns that share scale and mean of the low weights.</param>
/// <param name="HighGroupSize">Consecutive columns that share scale and zero of the salient weights.</param>
/// <param name="ScaleFormat">F16 or F32.</param>
/// <param name="Positions">How the file stores the positions of salient weights.</param>
/// <param name="RiceParameter">Low bits of a gap in the coded form, 0 to 30; 0 for a bitmap.</param>
public sealed record PartiallyBinarizedLayout(
    int Rows, int Columns, int LowBits, int HighBits, int LowGroupSize, int HighGroupSize, ElementFormat ScaleFormat,
    PositionsForm Positions = PositionsForm.Bitmap, int RiceParameter = 0)
{
    /// <summary>64-bit words of a row of the bitmap and of each low plane; the last one is padded with zeros.</summary>
    public int Words => (Columns + 63) / 64;

    /// <summary>Groups of a row for the low weights.</summary>
    public int LowGroups => (int)(((long)Columns + LowGroupSize - 1) / LowGroupSize);

    /// <summary>Groups of a row for the salient weights.</summary>
    public int HighGroups => (int)(((long)Columns + HighGroupSize - 1) / HighGroupSize);

    /// <summary>Bits of a salient code that are not in the low planes.</summary>
    public int RestBits => HighBits - LowBits;

    /// <summary>Bytes of the bitmap.</summary>
    public long BitmapBytes => (long)Rows * Words * sizeof(ulong);

    /// <summary>Bytes of all low planes.</summary>
    public long LowBytes => BitmapBytes * LowBits;

    /// <summary>Elements of a table of low scales or means.</summary>
    public long LowScales => (long)Rows * LowGroups;

    /// <summary>Elements of the tables of salient scales and zeros.</summary>
    public long HighScales => (long)Rows * HighGroups;

    /// <summary>Refuses numbers that no matrix has.</summary>
    /// <param name="name">Name of the matrix, for the message.</param>
    /// <returns>The layout itself.</returns>
    /// <exception cref="LowbitException">A number is outside of its range.</exception>
    public PartiallyBinarizedLayout Check(string name)
    {
        LayoutCheck check = new(name, "partially binarized layout", Rows, Columns);
        check.Require(LowBits is >= 0 and <= 2, nameof(LowBits), LowBits, "0, 1 or 2");
        check.Require(HighBits is >= 2 and <= 8, nameof(HighBits), HighBits, "2 to 8");
        check.Require(LowGroupSize > 0, nameof(LowGroupSize), LowGroupSize, "a positive number");
        check.Require(HighGroupSize > 0, nameof(HighGroupSize), HighGroupSize, "a positive number");
        check.Require(ScaleFormat is ElementFormat.F16 or ElementFormat.F32, nameof(ScaleFormat), ScaleFormat, "F16 or F32");
        check.Require(Positions is PositionsForm.Bitmap or PositionsForm.Coded, nameof(Positions), Positions, "Bitmap or Coded");
        check.Require(RiceParameter is >= 0 and <= RicePositions.MaxParameter, nameof(RiceParameter), RiceParameter, $"0 to {RicePositions.MaxParameter}");
        return this;
    }
}

/// <summary>Where the bytes of a packed partially binarized matrix go.</summary>
/// <param name="StoredPositions">Positions as the file stores them.</param>
/// <param name="BitmapPositions">Positions as products read them; differs from the stored ones in the coded form.</param>
/// <param name="LowCodes">Low planes, which also hold the upper bits of the salient codes.</param>
/// <param name="HighCodes">The other bits of the salient codes.</param>
/// <param name="Scales">Scales, means and zeros.</param>
public readonly record struct PartiallyBinarizedBytes(long StoredPositions, long BitmapPositions, long LowCodes, long HighCodes, long Scales)
{
    /// <summary>Bytes in the file.</summary>
    public long Stored => StoredPositions + LowCodes + HighCodes + Scales;

    /// <summary>Bytes that a product reads.</summary>
    public long Read => BitmapPositions + LowCodes + HighCodes + Scales;
}
