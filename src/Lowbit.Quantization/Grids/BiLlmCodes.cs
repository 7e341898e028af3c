using Lowbit.Kernels;

namespace Lowbit.Quantization.Grids;

/// <summary>Which part of a block of columns a weight belongs to.</summary>
public enum BiLlmPart
{
    /// <summary>Of a column that is not salient, with a score below the break point.</summary>
    Concentrated,
    /// <summary>Of a column that is not salient, with a score from the break point on.</summary>
    Sparse,
    /// <summary>Of a salient column.</summary>
    Salient,
}

/// <summary>
/// A matrix binarized by BiLLM in plain arrays. In a row and a block of columns, weights of a part are mean ± scale, and
/// those of salient columns (mean ± scale) + (residual mean ± residual scale), with a sign of its own each.
/// </summary>
/// <param name="rows">Output features.</param>
/// <param name="columns">Input features.</param>
/// <param name="blockSize">Columns of a block; the last one may be shorter.</param>
public sealed class BiLlmCodes(int rows, int columns, int blockSize) : MatrixCodes(rows, columns)
{
    /// <summary>Binarizations of a row and block: the three parts, and the residual of the salient one.</summary>
    public const int Levels = 4;

    /// <summary>The binarization of the residual of salient weights, beside those of the parts.</summary>
    public const int Residual = 3;

    /// <summary>Columns of a block.</summary>
    public int BlockSize { get; } = blockSize;

    /// <summary>Blocks of a row.</summary>
    public int Blocks => (Columns + BlockSize - 1) / BlockSize;

    /// <summary>[columns], true for salient columns.</summary>
    public bool[] SalientColumns { get; } = new bool[columns];

    /// <summary>[rows, columns], true for sparse weights; false in salient columns.</summary>
    public bool[] Sparse { get; } = new bool[(long)rows * columns];

    /// <summary>[rows, columns], true for +.</summary>
    public bool[] Signs { get; } = new bool[(long)rows * columns];

    /// <summary>[rows, columns], true for + of the residual; false in columns that are not salient.</summary>
    public bool[] ResidualSigns { get; } = new bool[(long)rows * columns];

    /// <summary>[rows, blocks, <see cref="Levels"/>], by <see cref="BiLlmPart"/> and <see cref="Residual"/>.</summary>
    public float[] Means { get; } = new float[(long)rows * ((columns + blockSize - 1) / blockSize) * Levels];

    /// <summary>[rows, blocks, <see cref="Levels"/>], half the distance of two levels.</summary>
    public float[] Scales { get; } = new float[(long)rows * ((columns + blockSize - 1) / blockSize) * Levels];

    /// <summary>The part of a weight.</summary>
    public BiLlmPart PartOf(int row, int column) =>
        SalientColumns[column] ? BiLlmPart.Salient : Sparse[(long)row * Columns + column] ? BiLlmPart.Sparse : BiLlmPart.Concentrated;

    /// <inheritdoc/>
    public override float Dequantize(int row, int column)
    {
        long i = (long)row * Columns + column, parameters = ((long)row * Blocks + column / BlockSize) * Levels;
        int part = (int)PartOf(row, column);
        float level = Level(parameters + part, Signs[i]);
        return part == (int)BiLlmPart.Salient ? level + Level(parameters + Residual, ResidualSigns[i]) : level;
    }

    private float Level(long parameter, bool sign) => sign ? Scales[parameter] + Means[parameter] : Means[parameter] - Scales[parameter];
}
