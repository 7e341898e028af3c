using System.Collections.Generic;
using System.Text.Json.Nodes;
using Lowbit.Core;
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
    /// <summary>Packs a partially binarized matrix.</summary>
    public static PackedLayer Of(PartiallyBinarizedCodes codes, QuantizedMatrix quantized, PositionsForm positions)
    {
        PackedPartiallyBinarized packed = PartiallyBinarizedPacking.Pack(codes, Scales(quantized), positions);
        return Of(packed.Parts, PackedTensor.ToJson(packed.Layout), quantized);
    }

    /// <summary>Packs a matrix on uniform grids.</summary>
    public static PackedLayer Of(UniformCodes codes, QuantizedMatrix quantized)
    {
        PackedUniform packed = UniformPacking.Pack(codes, Scales(quantized));
        return Of(packed.Parts, PackedTensor.ToJson(packed.Layout), quantized);
    }

    /// <summary>Packs a matrix of table codes.</summary>
    public static PackedLayer Of(TableCodes codes, QuantizedMatrix quantized)
    {
        PackedTable packed = TablePacking.Pack(codes);
        return Of(packed.Parts, PackedTensor.ToJson(packed.Layout), quantized);
    }

    /// <summary>What the bytes of a part are, for the itemised account.</summary>
    public static string Describe(string name) => name[(name.LastIndexOf('.') + 1)..] switch
    {
        PartiallyBinarizedPacking.Positions => "positions of salient weights",
        PartiallyBinarizedPacking.Low => "low planes",
        PartiallyBinarizedPacking.High => "salient codes",
        UniformPacking.Codes or TablePacking.Codes => "codes",
        UniformPacking.Order => "order of columns",
        _ => "scales",
    };

    private static PackedLayer Of(IReadOnlyList<PackedPart> parts, JsonObject layout, QuantizedMatrix quantized) =>
        new(parts, layout, quantized.OutputError ?? double.NaN, quantized.NominalBitsPerWeight);

    private static ElementFormat Scales(QuantizedMatrix quantized) => quantized.ScalePrecision == ScalePrecision.Float16 ? ElementFormat.F16 : ElementFormat.F32;
}
