using System;

namespace Lowbit.Quantization.Grids;

/// <summary>How the scales and means of a quantized matrix are stored.</summary>
public enum ScalePrecision
{
    /// <summary>32 bits, as the references compute them.</summary>
    Float32,
    /// <summary>16 bits, as the packed formats store them.</summary>
    Float16,
}

/// <summary>
/// Rounds scales and means when they are fitted, before codes are chosen with them and errors fed back, so that the
/// packed matrix and the dequantized one are the same numbers. Remembers when a value did not fit, so that the method
/// can start again in float32.
/// </summary>
/// <param name="precision">The precision to round to.</param>
public sealed class ScaleRounding(ScalePrecision precision)
{
    private const float Tolerance = 1f / 1024; // a half has 11 bits; more error than this means underflow

    private volatile bool _failed;

    /// <summary>Whether some value was too large or too small for the precision.</summary>
    public bool Failed => _failed;

    /// <summary>Whether it rounds to half precision.</summary>
    public bool IsHalf => precision == ScalePrecision.Float16;

    /// <summary>Rounds a scale, whose relative error counts.</summary>
    public float Scale(float value) => Round(value, value);

    /// <summary>Rounds the centre of levels that lie <paramref name="scale"/> away from it; its error counts beside that distance.</summary>
    public float Mean(float value, float scale) => Round(value, MathF.Max(MathF.Abs(value), scale));

    private float Round(float value, float reference)
    {
        if (precision == ScalePrecision.Float32) return value;
        float rounded = (float)(Half)value;
        if (!(MathF.Abs(rounded - value) <= Tolerance * reference)) _failed = true;
        return rounded;
    }
}
