using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models;

/// <summary>A linear layer: activations · Wᵀ + bias.</summary>
/// <param name="Name">Full name in the file, without <c>.weight</c>.</param>
/// <param name="Weight">[outFeatures, inFeatures] in whatever form it is stored.</param>
/// <param name="Bias">[outFeatures] in float32, or null.</param>
public sealed record Linear(string Name, WeightMatrix Weight, NativeBuffer? Bias)
{
    /// <summary>output = activations · Wᵀ + bias, [tokens, outFeatures].</summary>
    public unsafe void Multiply(WorkerPool pool, Activations activations, float* output)
    {
        Weight.Multiply(pool, activations, output);
        AddBias(output, activations.Tokens);
    }

    /// <summary>output ← output + bias, [tokens, outFeatures].</summary>
    public unsafe void AddBias(float* output, int tokens)
    {
        if (Bias is not null) Rows.AddToEach(output, tokens, Weight.Rows, Bias.Floats);
    }
}

/// <summary>A normalisation of rows.</summary>
/// <param name="Name">Full name in the file, without <c>.weight</c>.</param>
/// <param name="Weight">[features] in float32.</param>
/// <param name="Bias">[features] in float32, or null.</param>
public sealed record Norm(string Name, NativeBuffer Weight, NativeBuffer? Bias);

/// <summary>The inputs that linears of a block share; calibration looks at each of them once.</summary>
public enum LinearInput
{
    /// <summary>Normalised input of q, k and v.</summary>
    Attention,
    /// <summary>Output of the heads, input of the attention's output projection.</summary>
    AttentionOutput,
    /// <summary>Normalised input of gate and up.</summary>
    Ffn,
    /// <summary>Input of down.</summary>
    FfnDown,
}

/// <summary>One decoder block: its tensors.</summary>
public sealed class Block
{
    /// <summary>Number of the block, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Norm of the attention part.</summary>
    public required Norm AttentionNorm { get; init; }

    /// <summary>Queries, keys and values in one projection, or null where there are three.</summary>
    public Linear? Fused { get; set; }

    /// <summary>Queries.</summary>
    public Linear? Query { get; set; }

    /// <summary>Keys.</summary>
    public Linear? Key { get; set; }

    /// <summary>Values.</summary>
    public Linear? Value { get; set; }

    /// <summary>Norm of a query head.</summary>
    public Norm? QueryNorm { get; init; }

    /// <summary>Norm of a key head.</summary>
    public Norm? KeyNorm { get; init; }

    /// <summary>Norm of what the attention's output projection reads.</summary>
    public Norm? AttentionSubNorm { get; init; }

    /// <summary>Output of the attention part.</summary>
    public required Linear AttentionOutput { get; set; }

    /// <summary>Norm of the feed-forward part.</summary>
    public required Norm FfnNorm { get; init; }

    /// <summary>Gate of the feed-forward part.</summary>
    public Linear? Gate { get; set; }

    /// <summary>First projection of the feed-forward part.</summary>
    public required Linear Up { get; set; }

    /// <summary>Norm of what the second projection of the feed-forward part reads.</summary>
    public Norm? FfnSubNorm { get; init; }

    /// <summary>Second projection of the feed-forward part.</summary>
    public required Linear Down { get; set; }

    /// <summary>All linears in the order of the forward pass, each with the input that it takes.</summary>
    public (LinearInput Input, Linear Linear)[] Linears()
    {
        (LinearInput, Linear?)[] all =
        [
            (LinearInput.Attention, Fused), (LinearInput.Attention, Query), (LinearInput.Attention, Key), (LinearInput.Attention, Value),
            (LinearInput.AttentionOutput, AttentionOutput), (LinearInput.Ffn, Gate), (LinearInput.Ffn, Up), (LinearInput.FfnDown, Down),
        ];
        return System.Array.FindAll(all, entry => entry.Item2 is not null)!;
    }

    /// <summary>Puts another weight in the place of a linear, by name.</summary>
    public void Replace(string name, WeightMatrix weight)
    {
        Linear Swap(Linear linear) => linear.Name == name ? linear with { Weight = weight } : linear;
        if (Fused is not null) Fused = Swap(Fused);
        if (Query is not null) Query = Swap(Query);
        if (Key is not null) Key = Swap(Key);
        if (Value is not null) Value = Swap(Value);
        if (Gate is not null) Gate = Swap(Gate);
        AttentionOutput = Swap(AttentionOutput);
        Up = Swap(Up);
        Down = Swap(Down);
    }
}
