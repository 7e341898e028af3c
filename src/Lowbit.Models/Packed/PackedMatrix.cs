using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;

namespace Lowbit.Models;

/// <summary>A packed matrix as it goes to disk.</summary>
/// <param name="Parts">Its tensors, named by their endings.</param>
/// <param name="Declaration">Its entry in <c>quantization_config.tensors</c>, as <see cref="PackedTensor.Read"/> takes it.</param>
public sealed record PackedMatrix(ImmutableArray<PackedPart> Parts, JsonObject Declaration)
{
    /// <summary>Packs a matrix in the layout of its codes.</summary>
    /// <param name="codes">The matrix.</param>
    /// <param name="scaleFormat">F16 or F32, for layouts that have the choice.</param>
    /// <param name="positions">How positions of salient weights are stored, for layouts that have them.</param>
    /// <returns>The packed matrix, or null where the codes have no layout.</returns>
    /// <exception cref="LowbitException">The codes contradict themselves or do not fit the layout.</exception>
    public static PackedMatrix? Of(MatrixCodes codes, ElementFormat scaleFormat, PositionsForm positions = PositionsForm.Bitmap) => Layouts.Pack(codes, scaleFormat, positions);
}
