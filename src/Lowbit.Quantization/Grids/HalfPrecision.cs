using System;
using Lowbit.Core;

namespace Lowbit.Quantization.Grids;

/// <summary>Weights that methods keep in half precision.</summary>
internal static class HalfPrecision
{
    /// <summary>The nearest number that half precision holds.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="layer">Name of its layer, for the message.</param>
    /// <exception cref="LowbitException">The weight is too large.</exception>
    public static float Round(float weight, string layer)
    {
        float rounded = (float)(Half)weight;
        return float.IsFinite(rounded) ? rounded
            : throw new LowbitException($"{layer}: the weight {weight} is to be kept in half precision, which ends at 65504; use a method that keeps none, as rtn or gptq.");
    }
}
