using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Integers;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;

namespace Lowbit.Models;

/// <summary>The layouts by their names: how a matrix is packed with its declaration, and how that is read again.</summary>
internal static class Layouts
{
    private const string PartiallyBinarized = "partially-binarized", Uniform = "uniform", Table = "table", Codebook = "codebook", Sparse = "sparse", LowRank = "low-rank", Plain = "plain", Floats = "floats", Integers = "integers";
    private const string BlocksPart = "blocks";

    /// <summary>Packs a matrix; null where its codes have no layout.</summary>
    public static PackedMatrix? Pack(MatrixCodes codes, ElementFormat scaleFormat, PositionsForm positions)
    {
        switch (codes)
        {
            case PartiallyBinarizedCodes partial:
                Packed<PartiallyBinarizedLayout> binarized = PartiallyBinarizedPacking.Pack(partial, scaleFormat, positions);
                return new(binarized.Parts, Declare(codes, PartiallyBinarized,
                    ("low_bits", binarized.Layout.LowBits), ("high_bits", binarized.Layout.HighBits),
                    ("low_group_size", binarized.Layout.LowGroupSize), ("high_group_size", binarized.Layout.HighGroupSize),
                    ("scale_format", binarized.Layout.ScaleFormat.ToString()),
                    ("positions", binarized.Layout.Positions == PositionsForm.Coded ? "coded" : "bitmap"), ("rice_parameter", binarized.Layout.RiceParameter)));
            case UniformCodes uniformCodes:
                Packed<UniformLayout> uniform = UniformPacking.Pack(uniformCodes, scaleFormat);
                return new(uniform.Parts, Declare(codes, Uniform,
                    ("bits", uniform.Layout.Bits), ("group_size", uniform.Layout.GroupSize), ("scale_format", uniform.Layout.ScaleFormat.ToString()),
                    ("real_zeros", uniform.Layout.RealZeros), ("reordered", uniform.Layout.Reordered), ("nested_scales", uniform.Layout.Nested)));
            case TableCodes tableCodes:
                Packed<TableLayout> table = TablePacking.Pack(tableCodes);
                return new(table.Parts, Declare(codes, Table, ("block_size", table.Layout.BlockSize), ("nested_scales", table.Layout.NestedScales)));
            case CodebookCodes codebookCodes:
                Packed<CodebookLayout> codebooks = CodebookPacking.Pack(codebookCodes);
                return new(codebooks.Parts, Declare(codes, Codebook,
                    ("bits", codebooks.Layout.Bits), ("group_size", codebooks.Layout.GroupSize), ("levels", CodebookDeclaration.NameOf(codebooks.Layout.Levels)), ("classes", codebooks.Layout.Classes),
                    ("scale_format", codebooks.Layout.ScaleFormat.ToString())));
            case FloatCodes floatCodes:
                Packed<FloatLayout> floats = FloatPacking.Pack(floatCodes);
                return new(floats.Parts, Declare(codes, Floats,
                    ("element", floats.Layout.Element.Name), ("block_size", floats.Layout.BlockSize), ("scale_format", floats.Layout.ScaleFormat.ToString())));
            case SparseCodes sparseCodes:
                Packed<SparseLayout> sparse = SparsePacking.Pack(sparseCodes);
                return new(sparse.Parts, Declare(codes, Sparse, ("elements", sparse.Layout.Elements)));
            case LowRankCodes lowRank:
                return new(LowRankPacking.Pack(lowRank), Declare(codes, LowRank, ("rank", lowRank.Rank)));
            case PlainCodes plain:
                return new([HalfPart.Of(HalfMatrix.Values, plain.Values, [plain.Rows, plain.Columns])], Declare(codes, Plain));
            case BlockCodes blocks:
                return new([new PackedPart(BlocksPart, ElementFormat.U8, [blocks.Rows, blocks.RowBytes], blocks.Blocks)], Declare(codes, blocks.Format.ToString()));
            case IntegerCodes integers:
                return new(IntegerPacking.Pack(integers), Declare(codes, Integers));
            case CompositeCodes composite:
                return CompositeDeclaration.Pack(composite, scaleFormat, positions);
            default:
                return null;
        }
    }

    /// <summary>The matrix of a declaration.</summary>
    public static WeightMatrix Load(Declaration entry) => entry.Format switch
    {
        PartiallyBinarized => new PartiallyBinarizedMatrix(
            entry.Name,
            new PartiallyBinarizedLayout(
                entry.Rows, entry.Columns, entry.Number("low_bits"), entry.Number("high_bits"), entry.Number("low_group_size"), entry.Number("high_group_size"), entry.ScaleFormat(),
                entry.Named("positions", ("bitmap", PositionsForm.Bitmap), ("coded", PositionsForm.Coded)), entry.Number("rice_parameter")),
            entry.Parts(PartiallyBinarizedPacking.Suffixes)),
        Uniform => UniformMatrix.Load(
            entry.Name,
            new UniformLayout(
                entry.Rows, entry.Columns, entry.Number("bits"), entry.Number("group_size"), entry.ScaleFormat(), entry.Entry.Flag("real_zeros", false), entry.Entry.Flag("reordered", false),
                entry.Entry.Flag("nested_scales", false)),
            entry.Parts(UniformPacking.Suffixes)),
        Table => new TableMatrix(
            entry.Name, new TableLayout(entry.Rows, entry.Columns, entry.Number("block_size"), entry.Entry.Flag("nested_scales", false)), entry.Parts(TablePacking.Suffixes)),
        Codebook => CodebookDeclaration.Load(entry),
        Floats => new FloatMatrix(
            entry.Name,
            new FloatLayout(
                entry.Rows, entry.Columns, entry.Named("element", [.. SmallFloat.All.Select(element => (element.Name, element))]), entry.Number("block_size"),
                entry.Named("scale_format", [.. Enum.GetValues<BlockScale>().Select(format => (format.ToString(), format))])),
            entry.Parts(FloatPacking.Suffixes)),
        Sparse => new SparseMatrix(entry.Name, new SparseLayout(entry.Rows, entry.Columns, entry.Number("elements")), entry.Parts(SparsePacking.Suffixes)),
        LowRank => new LowRankMatrix(entry.Name, entry.Rows, entry.Columns, entry.Number("rank"), entry.Parts(LowRankPacking.Suffixes)),
        Plain => HalfMatrix.Load(entry.Name, HalfMatrix.Values, entry.Rows, entry.Columns, entry.Parts([HalfMatrix.Values])),
        Integers => IntegerPacking.Load(entry.Name, entry.Rows, entry.Columns, entry.Parts(IntegerPacking.Suffixes)),
        CompositeDeclaration.Composite => CompositeDeclaration.Load(entry),
        _ => Blocks(entry),
    };

    /// <summary>A declaration of a layout with its numbers.</summary>
    public static JsonObject Declare(MatrixCodes codes, string format, params (string Key, JsonNode Value)[] numbers)
    {
        JsonObject declaration = new() { ["format"] = format, ["rows"] = codes.Rows, ["columns"] = codes.Columns };
        foreach ((string key, JsonNode value) in numbers) declaration[key] = value;
        return declaration;
    }

    private static unsafe DenseMatrix Blocks(Declaration entry)
    {
        if (!Enum.TryParse(entry.Format, out ElementFormat format) || format.BlockLength() == 1)
            throw entry.Entry.Wrong("format", "partially-binarized, uniform, table, codebook, floats, composite, sparse, low-rank, plain, integers or a ggml type");
        Tensor bytes = entry.Parts([BlocksPart]).GetValueOrDefault(BlocksPart)
            ?? throw new LowbitFormatException(entry.File, $"the tensor '{entry.Name}.{BlocksPart}' is missing, though the configuration declares it; quantize the model again.");
        if (entry.Columns % format.BlockLength() != 0 || bytes.Bytes != format.ByteCount((long)entry.Rows * entry.Columns))
            throw new LowbitFormatException(entry.File, $"tensor {bytes.Name} has {bytes.Bytes} bytes; [{entry.Rows}, {entry.Columns}] in {format} takes {format.ByteCount((long)entry.Rows * entry.Columns)}.");
        return new DenseMatrix(new Tensor(entry.Name, format, [entry.Rows, entry.Columns], bytes.Pointer, bytes.Bytes, bytes.Owner));
    }
}
