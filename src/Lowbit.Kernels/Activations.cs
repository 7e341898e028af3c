using System;
using Lowbit.Core;

namespace Lowbit.Kernels;

/// <summary>
/// The input of one or several products: [tokens, features] floats and, in 8-bit mode, their rounded form, made once
/// and shared by all weights that take this input. The memory is allocated once for the largest batch.
/// </summary>
public sealed unsafe class Activations : IDisposable
{
    private readonly NativeBuffer _values;

    /// <summary>Allocates for the largest batch.</summary>
    /// <param name="capacityTokens">Most tokens of a batch.</param>
    /// <param name="features">Features of a token.</param>
    /// <param name="mode">Whether products take floats or 8-bit integers.</param>
    public Activations(int capacityTokens, int features, ActivationMode mode)
    {
        CapacityTokens = capacityTokens;
        Features = features;
        Mode = mode;
        _values = new NativeBuffer((long)capacityTokens * features * sizeof(float));
    }

    /// <summary>Most tokens of a batch.</summary>
    public int CapacityTokens { get; }

    /// <summary>Features of a token.</summary>
    public int Features { get; }

    /// <summary>Whether products take floats or 8-bit integers.</summary>
    public ActivationMode Mode { get; }

    /// <summary>Tokens of the current batch, at most <see cref="CapacityTokens"/>.</summary>
    public int Tokens { get; set; }

    /// <summary>[tokens, features]; whoever produces the input writes here.</summary>
    public float* Values => _values.Floats;

    /// <summary>In 8-bit mode rounds <see cref="Values"/>; to be called after they are written and before the products. Does nothing in float mode.</summary>
    public void Quantize(WorkerPool pool)
    {
    }

    /// <inheritdoc/>
    public void Dispose() => _values.Dispose();
}
