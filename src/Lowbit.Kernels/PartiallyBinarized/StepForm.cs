namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// How a kernel takes the salient weights of a tile: in steps, each with a window of columns that it can reach. A step takes from every row up
/// to <paramref name="Slots"/> of what comes next, if its window holds it. So rows need not have the same number of salient weights near a column.
/// A step is two vectors: bytes <paramref name="Slots"/> · r and those after it say for row r where its weights are, and the same bytes of the
/// other vector are their codes. Where a row has no weight, the code is 0. There are two ways to say where:
/// <list type="bullet">
/// <item>a place, which is a column of the window plus <paramref name="Bias"/>, or <see cref="NoPlace"/>;</item>
/// <item>for matrices with many salient weights a gap of four bits, the columns since the last weight of the row (the first weight of a segment
/// counts from −1); 0 stands for no weight, and so does <see cref="GapToNone"/>, but the next gap counts from the column <see cref="LongestGap"/>
/// on. The first of the two vectors is that of two steps, with the gaps of the second in the upper halves of the bytes.</item>
/// </list>
/// </summary>
/// <param name="Slots">Weights of a row in a step.</param>
/// <param name="Columns">Columns of a window, at most 256.</param>
/// <param name="Start">Windows begin at multiples of this.</param>
/// <param name="Bias">What is added to places.</param>
internal readonly record struct StepForm(int Slots, int Columns, int Start, int Bias)
{
    /// <summary>What is read from the begin of a window on, at most.</summary>
    public const int WidestWindow = 256;

    /// <summary>The place of no weight.</summary>
    public const byte NoPlace = 255;

    /// <summary>The longest gap to a weight.</summary>
    public const int LongestGap = 14;

    /// <summary>A gap of <see cref="LongestGap"/> columns with no weight behind it.</summary>
    public const int GapToNone = 15;

    /// <summary>Bytes of one of the vectors.</summary>
    public int Vector => RowTiles.Rows * Slots;

    /// <summary>How far a window can begin after the one before it.</summary>
    public int FarthestMove => byte.MaxValue / Start * Start;

    /// <summary>
    /// Most steps with windows that begin in the same 64 columns. All of them reach what is left there, so each takes weights from the row that has
    /// most; and if nothing is left there, the next window begins behind.
    /// </summary>
    public int MostStepsOfBlock => 64 / Slots;

    /// <summary>Bytes of steps.</summary>
    public long Bytes(int steps, bool gaps) => (long)Vector * (gaps ? steps + (steps + 1) / 2 : 2 * steps);
}
