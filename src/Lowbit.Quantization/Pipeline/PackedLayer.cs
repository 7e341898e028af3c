using System.Collections.Generic;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.Codebooks;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Floats;
using Lowbit.Kernels.Integers;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;
using Lowbit.Models;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>A quantized linear as it goes to disk.</summary>
/// <param name="Parts">Its tensors, named by their endings.</param>
/// <param name="Layout">Its entry in <c>quantization_config.tensors</c>.</param>
/// <param name="OutputError">‖X(W−Ŵ)ᵀ‖² / ‖XWᵀ‖²; NaN without calibration.</param>
/// <param name="NominalBits">The figure of the method's paper.</param>
internal sealed record PackedLayer(IReadOnlyList<PackedPart> Parts, JsonObject Layout, double OutputError, double NominalBits)
{
    /// <summary>Packs what a method gave; null where its codes have no layout.</summary>
    public static PackedLayer? Of(QuantizedMatrix quantized, PositionsForm positions)
    {
        ElementFormat scales = quantized.ScalePrecision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32;
        return PackedMatrix.Of(quantized.Codes, scales, positions) is not { } packed ? null
            : new(packed.Parts, packed.Declaration, quantized.OutputError ?? double.NaN, quantized.NominalBitsPerWeight);
    }

    /// <summary>What the bytes of a part are, for the itemised account.</summary>
    public static string Describe(string name) => name[(name.LastIndexOf('.') + 1)..] switch
    {
        PartiallyBinarizedPacking.Positions => "positions of salient weights",
        PartiallyBinarizedPacking.Low => "low planes",
        PartiallyBinarizedPacking.High => "salient codes",
        UniformPacking.Codes or IntegerPacking.Stream or TablePacking.Codes or CodebookPacking.Codes or FloatPacking.Codes => "codes",
        "blocks" => "codes and scales",
        UniformPacking.Order => "order of columns",
        CodebookPacking.Class or InputPacking.Columns or SparsePacking.Starts or SparsePacking.Columns => "positions of salient weights",
        HalfMatrix.Values or SparsePacking.Values => "weights in half precision",
        LowRankPacking.Left or LowRankPacking.Right => "low-rank repair",
        _ => "scales",
    };
}
