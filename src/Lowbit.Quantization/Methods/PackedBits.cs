using System;
using Lowbit.Core;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>Bits that packed layouts take for a weight of a square matrix, for <see cref="MethodOptions.EstimateBitsPerWeight"/>.</summary>
internal static class PackedBits
{
    /// <summary>Codes, scales and zeros of <see cref="UniformCodes"/>.</summary>
    /// <param name="columns">Columns, and rows.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="groupSize">Columns of a group; −1 and 0 for the whole row.</param>
    /// <param name="scales">Precision of scales and real zeros.</param>
    /// <param name="realZeros">Whether zeros lie between codes.</param>
    /// <param name="reordered">Whether the columns of a group are not neighbours.</param>
    /// <param name="nested">Whether scales are codes themselves.</param>
    public static double Uniform(int columns, int bits, int groupSize, ScalePrecision scales, bool realZeros = false, bool reordered = false, bool nested = false)
    {
        var layout = new UniformLayout(columns, columns, bits, MethodOptions.GroupColumns(groupSize, columns), Format(scales), realZeros, Nested: nested);
        long order = reordered && layout.Groups > 1 ? (long)columns * sizeof(int) : 0;
        return OfWeight(layout.CodeBytes + layout.ScaleBytes + order, columns);
    }

    /// <summary>Codes and scales of <see cref="FloatCodes"/>.</summary>
    /// <param name="columns">Columns, and rows.</param>
    /// <param name="element">Format of the numbers.</param>
    /// <param name="groupSize">Columns of a group; −1 and 0 for the whole row.</param>
    /// <param name="scales">How scales are stored.</param>
    public static double Float(int columns, SmallFloat element, int groupSize, BlockScale scales)
    {
        var layout = new FloatLayout(columns, columns, element, MethodOptions.GroupColumns(groupSize, columns), scales);
        return OfWeight(layout.CodeBytes + layout.StoredScale.ByteCount(layout.Scales), columns);
    }

    /// <summary>Codes, stored numbers and classes of <see cref="CodebookCodes"/>.</summary>
    /// <param name="columns">Columns, and rows.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="groupSize">Columns of a group; −1 for the whole row.</param>
    /// <param name="scales">Precision of what is stored.</param>
    /// <param name="form">What is stored of a codebook.</param>
    /// <param name="classes">Codebooks of a row and group.</param>
    public static double Codebook(int columns, int bits, int groupSize, ScalePrecision scales, LevelForm form, int classes = 1) =>
        OfWeight(Bytes(new CodebookLayout(columns, columns, bits, MethodOptions.GroupColumns(groupSize, columns), form, classes, Format(scales))), columns);

    /// <summary><see cref="CodebookCodes"/> for each block of columns, which need not be neighbours.</summary>
    /// <param name="columns">Columns, and rows.</param>
    /// <param name="bits">Bits of a code.</param>
    /// <param name="blockSize">Columns of a block.</param>
    /// <param name="scales">Precision of what is stored.</param>
    /// <param name="form">What is stored of a codebook.</param>
    public static double CodebookOfBlocks(int columns, int bits, int blockSize, ScalePrecision scales, LevelForm form)
    {
        long bytes = (long)columns * sizeof(int); // their numbers
        for (int start = 0, width; start < columns; start += width)
        {
            width = Math.Min(blockSize, columns - start);
            bytes += Bytes(new CodebookLayout(columns, width, bits, width, form, 1, Format(scales)));
        }
        return OfWeight(bytes, columns);
    }

    /// <summary>The term of <see cref="Methods.SalientColumns"/> where as many columns are salient as usual; how many is known afterwards only.</summary>
    /// <param name="columns">Columns, and rows.</param>
    /// <param name="blockSize">Columns of a block.</param>
    /// <param name="scales">Precision of what is stored.</param>
    /// <param name="form">What is stored of a codebook.</param>
    public static double SalientColumns(int columns, int blockSize, ScalePrecision scales, LevelForm form)
    {
        const int Columns = 8; // of so many one is salient in the block that has the most
        int most = Math.Max(1, MethodOptions.GroupColumns(blockSize, columns) / Columns), all = Math.Max(1, columns / Columns);
        return OfWeight(Bytes(new CodebookLayout(columns, all, 2, most, form, 1, Format(scales))) + all * (sizeof(int) + sizeof(short)), columns);
    }

    /// <summary>What is stored of levels that are sums: in float32 the levels, since sums are rounded there.</summary>
    public static LevelForm OfSums(LevelForm form, ScalePrecision scales) => scales == ScalePrecision.Float16 ? form : LevelForm.Table;

    /// <summary>Groups of a row over its columns: what a number of each group counts.</summary>
    public static double Groups(int groupSize, int columns)
    {
        int size = MethodOptions.GroupColumns(groupSize, columns);
        return ((columns - 1) / size + 1) / (double)columns;
    }

    private static long Bytes(CodebookLayout layout) => layout.CodeBytes + layout.ScaleFormat.ByteCount(layout.AllNumbers) + layout.ClassBytes;

    private static double OfWeight(long bytes, int columns) => 8.0 * bytes / ((double)columns * columns);

    private static ElementFormat Format(ScalePrecision scales) => scales == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32;
}
