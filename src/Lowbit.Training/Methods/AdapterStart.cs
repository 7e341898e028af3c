using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Methods;

/// <summary>A quantized weight and the product of low rank that makes up for most of its error: where an adapter may begin.</summary>
/// <param name="Quantized">Q.</param>
/// <param name="Left">B, [out, rank].</param>
/// <param name="Right">A, [rank, in].</param>
/// <param name="Rank">r, at most the smaller side of the weight.</param>
public sealed record AdapterStart(QuantizedMatrix Quantized, float[] Left, float[] Right, int Rank);
