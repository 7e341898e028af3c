using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Quantization.Methods;

namespace Lowbit.Training.Model;

/// <summary>
/// What a linear's products see of its weight: a quantizer with a straight-through gradient, a sum with an adapter. The
/// methods of quantization-aware training and the adapters are its implementations.
/// </summary>
public unsafe interface IWeightForm
{
    /// <summary>Parameters of the form itself, besides the weight; the linear disposes of them.</summary>
    IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>effective ← form(weight).</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">[outFeatures, inFeatures].</param>
    /// <param name="effective">Of the same shape, overwritten.</param>
    void Forward(WorkerPool pool, Parameter weight, float* effective);

    /// <summary>Turns the gradient of the effective weight into that of the weight, in place, and adds to those of <see cref="Parameters"/>.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="weight">As in the forward pass.</param>
    /// <param name="gradient">That of the effective weight; where the weight is trained it is the weight's own gradient.</param>
    void Backward(WorkerPool pool, Parameter weight, float* gradient);

    /// <summary>The weight as codes for packing; null where the form makes none.</summary>
    /// <param name="weight">As in the last forward pass.</param>
    QuantizedMatrix? Quantize(Parameter weight);
}
