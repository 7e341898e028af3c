using System;
using Lowbit.Core;
using Lowbit.Quantization.Calibration;

namespace Lowbit.Quantization.Methods;

/// <summary>All that a method sees of a linear layer: its weight and what calibration learned about its inputs.</summary>
public sealed class LinearLayer
{
    // Beyond it squares and ranges leave float32; no network has such weights.
    private const float LargestWeight = 1e18f;

    /// <summary>Checks and wraps.</summary>
    /// <param name="name">What messages call the layer: the name of its tensor.</param>
    /// <param name="outFeatures">Rows of the weight.</param>
    /// <param name="inFeatures">Columns of the weight.</param>
    /// <param name="weight">[outFeatures, inFeatures], not changed and not copied.</param>
    /// <param name="hessian">Of the layer's inputs; null where the method needs no calibration.</param>
    /// <exception cref="LowbitException">A weight is not finite, or the Hessian is of another size.</exception>
    public LinearLayer(string name, int outFeatures, int inFeatures, ReadOnlyMemory<float> weight, Hessian? hessian = null)
    {
        if (outFeatures <= 0 || inFeatures <= 0 || weight.Length != (long)outFeatures * inFeatures)
            throw new LowbitException($"{name}: the weight has {weight.Length} elements, [out, in] = [{outFeatures}, {inFeatures}] was expected.");
        if (hessian is not null && hessian.Features != inFeatures)
            throw new LowbitException($"{name}: the inputs have {hessian.Features} features, but the weight takes {inFeatures}; give the inputs of this layer.");
        ReadOnlySpan<float> values = weight.Span;
        for (int i = 0; i < values.Length; i++)
        {
            if (!(MathF.Abs(values[i]) <= LargestWeight))
                throw new LowbitException($"{name}: weight [{i / inFeatures}, {i % inFeatures}] is {values[i]}, a finite number of usual size was expected; the model is damaged.");
        }
        Name = name;
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        Weight = weight;
        Hessian = hessian;
    }

    /// <summary>What messages call the layer.</summary>
    public string Name { get; }

    /// <summary>Rows of the weight.</summary>
    public int OutFeatures { get; }

    /// <summary>Columns of the weight.</summary>
    public int InFeatures { get; }

    /// <summary>[outFeatures, inFeatures].</summary>
    public ReadOnlyMemory<float> Weight { get; }

    /// <summary>Second moments of the inputs, or null.</summary>
    public Hessian? Hessian { get; }

    /// <summary>The Hessian, for a method that cannot do without.</summary>
    /// <param name="method">Name of the method, for the message.</param>
    /// <exception cref="LowbitException">There is none.</exception>
    internal Hessian RequireHessian(string method) => Hessian ??
        throw new LowbitException($"{Name}: method {method} needs the layer's inputs or their Hessian; give calibration text with --calibration, or use --method rtn.");

    /// <summary>A copy of the weight in which the columns of dead inputs are zero.</summary>
    internal float[] WeightOfLiveInputs()
    {
        float[] weight = Weight.ToArray();
        if (Hessian is null) return weight;
        for (int j = 0; j < InFeatures; j++)
        {
            if (!Hessian.IsDead(j)) continue;
            for (int r = 0; r < OutFeatures; r++) weight[(long)r * InFeatures + j] = 0;
        }
        return weight;
    }
}
