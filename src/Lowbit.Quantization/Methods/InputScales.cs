using System;
using Lowbit.Kernels.Composite;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// The identity behind AWQ, SmoothQuant and OmniQuant: W = (W · diag(s)) · diag(1/s), where only the first factor is
/// quantized and the second becomes part of the inputs. What is stored is f = 1/s in half precision, so s here is always
/// 1/f of the stored f, and the product is exact but for the rounding of the first factor.
/// </summary>
/// <remarks>
/// The papers fold 1/s into the norm or the linear before. Here a method sees one linear and no model, so each has factors
/// of its own, 16 bits a column, also those that share an input.
/// </remarks>
internal static class InputScales
{
    // Well inside of what half precision holds as normal numbers.
    private const double SmallestFactor = 1.0 / 8192, LargestFactor = 8192;

    /// <summary>The stored factors 1/s, s divided by √(max s · min s) as in AWQ; the common factor changes no grid.</summary>
    /// <param name="scales">s, above zero.</param>
    public static float[] Factors(ReadOnlySpan<double> scales)
    {
        double largest = 0, smallest = double.PositiveInfinity;
        foreach (double scale in scales)
        {
            largest = Math.Max(largest, scale);
            smallest = Math.Min(smallest, scale);
        }
        double centre = Math.Sqrt(largest) * Math.Sqrt(smallest);
        var factors = new float[scales.Length];
        for (int j = 0; j < factors.Length; j++) factors[j] = (float)(Half)Math.Clamp(centre / scales[j], SmallestFactor, LargestFactor);
        return factors;
    }

    /// <summary>The layer with the weight W · diag(1/f), and the Hessian of the original inputs.</summary>
    public static LinearLayer Scaled(LinearLayer layer, float[] factors)
    {
        ReadOnlySpan<float> weight = layer.Weight.Span;
        var scaled = new float[weight.Length];
        for (int i = 0, j = 0; i < scaled.Length; i++, j = j + 1 == factors.Length ? 0 : j + 1) scaled[i] = weight[i] / factors[j];
        return new LinearLayer(layer.Name, layer.OutFeatures, layer.InFeatures, scaled, layer.Hessian);
    }

    /// <summary>What a method made of the scaled weight, behind the factors.</summary>
    public static QuantizedMatrix Unscaled(QuantizedMatrix scaled, float[] factors)
    {
        var dequantized = new float[scaled.Dequantized.Length];
        for (int i = 0, j = 0; i < dequantized.Length; i++, j = j + 1 == factors.Length ? 0 : j + 1) dequantized[i] = 0 + scaled.Dequantized[i] * factors[j];
        var codes = new CompositeCodes(scaled.Codes.Rows, scaled.Codes.Columns, [new CompositeTerm(new ScaledInput(factors), scaled.Codes)]);
        return scaled with { Codes = codes, Dequantized = dequantized };
    }
}
