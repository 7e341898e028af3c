using Lowbit.Kernels;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>What a method makes of a weight.</summary>
/// <param name="Codes">All that is needed to rebuild the weight, for the packer.</param>
/// <param name="Dequantized">[outFeatures, inFeatures], equal to what the codes give to the last bit.</param>
/// <param name="NominalBitsPerWeight">The figure of the method's paper: codes and, where the paper counts them, positions, but no scales.</param>
/// <param name="ScalePrecision">Precision of scales and means; float32 where 16 bits could not hold them.</param>
public sealed record QuantizedMatrix(MatrixCodes Codes, float[] Dequantized, double NominalBitsPerWeight, ScalePrecision ScalePrecision)
{
    /// <summary>‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖² over the calibration inputs X; null where there were none.</summary>
    public double? OutputError { get; init; }
}
