using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Training.Methods;
using Lowbit.Training.Operators;

namespace Lowbit.Training.Model;

/// <summary>A normalisation whose weight and bias may be trained.</summary>
/// <param name="weight">[features].</param>
/// <param name="bias">[features], or null.</param>
public sealed unsafe class TrainableNorm(Parameter weight, Parameter? bias)
{
    /// <summary>[features].</summary>
    public Parameter Weight { get; } = weight;

    /// <summary>[features], or null.</summary>
    public Parameter? Bias { get; } = bias;

    /// <summary>y ← norm(x), row by row.</summary>
    internal void Forward(WorkerPool pool, ModelConfig config, float* x, float* y, int rows)
    {
        int features = Weight.Columns;
        if (config.Norm == NormKind.RootMeanSquare) Normalization.RmsNorm(pool, x, Weight.Value.Floats, y, rows, features, config.NormEpsilon);
        else Normalization.LayerNorm(pool, x, Weight.Value.Floats, Bias is null ? null : Bias.Value.Floats, y, rows, features, config.NormEpsilon);
    }

    /// <summary>dx ← gradient of the input, or added to it; the gradients of weight and bias are added to theirs.</summary>
    internal void Backward(WorkerPool pool, ModelConfig config, float* x, float* dy, float* dx, int rows, float* statistics, bool accumulate)
    {
        NormBackward.Arguments arguments = new()
        {
            X = x,
            Weight = Weight.Value.Floats,
            OutputGradient = dy,
            InputGradient = dx,
            WeightGradient = Weight.Gradient is null ? null : Weight.Gradient.Floats,
            BiasGradient = Bias?.Gradient is null ? null : Bias.Gradient.Floats,
            Statistics = statistics,
            Tokens = rows,
            Features = Weight.Columns,
            Epsilon = config.NormEpsilon,
            Centered = config.Norm == NormKind.Layer,
            Accumulate = accumulate,
        };
        NormBackward.Run(pool, arguments);
    }
}

/// <summary>
/// A linear layer y = x·Wᵀ + b. The weight of the products is the parameter itself, what a <see cref="IWeightForm"/>
/// makes of it once a step, or a packed matrix; an adapter may stand beside it.
/// </summary>
/// <param name="weight">[outFeatures, inFeatures].</param>
/// <param name="bias">[outFeatures], or null.</param>
/// <param name="packed">The fixed weight in packed form, or null; the parameter has no values then.</param>
public sealed unsafe class TrainableLinear(Parameter weight, Parameter? bias, WeightMatrix? packed = null) : IDisposable
{
    private NativeBuffer? _formed, _formedGradient;

    /// <summary>The fixed weight where it stays packed, or null.</summary>
    public WeightMatrix? Packed { get; } = packed;

    /// <summary>What is trained beside the weight, or null.</summary>
    public LowRankAdapter? Adapter { get; private set; }

    /// <summary>[outFeatures, inFeatures]; with a form, what the form begins from. Without values where the weight is packed.</summary>
    public Parameter Weight { get; } = weight;

    /// <summary>[outFeatures], or null.</summary>
    public Parameter? Bias { get; } = bias;

    /// <summary>What makes the weight of the products from the parameter; null where it is the parameter.</summary>
    public IWeightForm? Form { get; private set; }

    /// <summary>Name without <c>.weight</c>.</summary>
    public string Name => Weight.Name[..^".weight".Length];

    /// <summary>The weight that the products take, without an adapter; of no meaning where it is packed.</summary>
    public float* Effective => (_formed ?? Weight.Value).Floats;

    /// <summary>Gradient of <see cref="Effective"/>; null where nothing behind it is trained.</summary>
    internal float* EffectiveGradient => (_formedGradient ?? Weight.Gradient) is { } gradient ? gradient.Floats : null;

    /// <summary>Whether products take inputs rounded to 8 bits token by token (<see cref="InputRounding"/>).</summary>
    public bool RoundsInputs { get; set; }

    /// <summary>Puts a form between parameter and products.</summary>
    public void Use(IWeightForm form)
    {
        Form = form;
        _formed = new NativeBuffer(Weight.Count * sizeof(float));
        // A frozen weight has no gradient of its own, but the form needs that of the products.
        if (!Weight.Trainable) _formedGradient = new NativeBuffer(Weight.Count * sizeof(float));
    }

    /// <summary>Trains the weight no longer; its form still gets the gradient of the products.</summary>
    public void Freeze()
    {
        Weight.Trainable = false;
        if (Form is not null) _formedGradient ??= new NativeBuffer(Weight.Count * sizeof(float));
    }

    /// <summary>Puts an adapter beside the weight, which owns it from now on.</summary>
    public void Use(LowRankAdapter adapter) => Adapter = adapter;

    /// <summary>What is trained beside weight and bias: parameters of the form and of the adapter.</summary>
    internal IEnumerable<Parameter> Added
    {
        get
        {
            foreach (Parameter parameter in Form?.Parameters ?? []) yield return parameter;
            if (Adapter is null) yield break;
            yield return Adapter.A;
            yield return Adapter.B;
        }
    }

    /// <summary>Copies the weight with the adapter's product added to it.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="destination">[outFeatures, inFeatures].</param>
    public void CopyMerged(WorkerPool pool, float* destination)
    {
        if (Packed is null) Rows.Copy(Effective, destination, Weight.Count);
        else Packed.DequantizeRows(0, Weight.Rows, destination);
        if (Adapter is null) return;
        float[] product = Adapter.Product(pool);
        int groups = Adapter.A.Columns;
        for (int r = 0; r < Weight.Rows; r++)
            for (int c = 0; c < Weight.Columns; c++) destination[(long)r * Weight.Columns + c] += product[r * groups + c / Adapter.GroupSize];
    }

    /// <summary>Makes the weight of the products anew; called when the parameters have changed.</summary>
    public void Refresh(WorkerPool pool) => Form?.Forward(pool, Weight, _formed!.Floats);

    /// <summary>Carries the gradient of the products' weight on to the parameters; called once, before the optimizer.</summary>
    internal void FinishGradient(WorkerPool pool) => Form?.Backward(pool, Weight, EffectiveGradient);

    /// <summary>Sets the gradient of the products' weight to zero.</summary>
    internal void ClearFormedGradient()
    {
        if (_formedGradient is { } gradient) NativeMemory.Clear(gradient.Pointer, (nuint)gradient.Bytes);
    }

    internal void Forward(WorkerPool pool, float* x, int tokens, float* y)
    {
        if (RoundsInputs) x = InputRounding.Run(pool, x, tokens, Weight.Columns);
        if (Packed is not null) PackedProducts.Forward(pool, Packed, x, tokens, y);
        else Gemm.MultiplyTransposed(pool, x, Weight.Columns, Effective, Weight.Columns, y, Weight.Rows, tokens, Weight.Rows, Weight.Columns);
        Adapter?.Forward(pool, x, tokens, y);
        if (Bias is not null) ColumnSums.AddToEach(pool, y, tokens, Weight.Rows, Bias.Value.Floats);
    }

    /// <summary>dx += dy·W; the gradients of weight and bias are added to theirs.</summary>
    internal void Backward(WorkerPool pool, float* x, float* dy, int tokens, float* dx)
    {
        int outFeatures = Weight.Rows, inFeatures = Weight.Columns;
        if (RoundsInputs) x = InputRounding.Run(pool, x, tokens, inFeatures);
        if (Packed is not null) PackedProducts.Backward(pool, Packed, dy, tokens, dx);
        else Gemm.MultiplyAdd(pool, 1, dy, outFeatures, Effective, inFeatures, dx, inFeatures, tokens, inFeatures, outFeatures);
        Adapter?.Backward(pool, x, dy, tokens, dx);
        if (EffectiveGradient is not null)
            Gemm.MultiplyLeftTransposedAdd(pool, dy, outFeatures, x, inFeatures, EffectiveGradient, inFeatures, outFeatures, inFeatures, tokens);
        if (Bias?.Gradient is { } gradient) ColumnSums.Accumulate(pool, dy, tokens, outFeatures, gradient.Floats);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _formed?.Dispose();
        _formedGradient?.Dispose();
        foreach (Parameter parameter in Added) parameter.Dispose();
    }
}

/// <summary>One decoder block of a trainable model; a null part does not exist in the architecture.</summary>
public sealed class TrainableBlock
{
    /// <summary>Number of the block, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Norm of the attention part.</summary>
    public required TrainableNorm AttentionNorm { get; init; }

    /// <summary>Queries, keys and values in one projection.</summary>
    public TrainableLinear? Fused { get; init; }

    /// <summary>Queries.</summary>
    public TrainableLinear? Query { get; init; }

    /// <summary>Keys.</summary>
    public TrainableLinear? Key { get; init; }

    /// <summary>Values.</summary>
    public TrainableLinear? Value { get; init; }

    /// <summary>Norm of a query head.</summary>
    public TrainableNorm? QueryNorm { get; init; }

    /// <summary>Norm of a key head.</summary>
    public TrainableNorm? KeyNorm { get; init; }

    /// <summary>Norm of what the attention's output projection reads.</summary>
    public TrainableNorm? AttentionSubNorm { get; init; }

    /// <summary>Output of the attention part.</summary>
    public required TrainableLinear AttentionOutput { get; init; }

    /// <summary>Norm of the feed-forward part.</summary>
    public required TrainableNorm FfnNorm { get; init; }

    /// <summary>Gate of the feed-forward part.</summary>
    public TrainableLinear? Gate { get; init; }

    /// <summary>First projection of the feed-forward part.</summary>
    public required TrainableLinear Up { get; init; }

    /// <summary>Norm of what the second projection of the feed-forward part reads.</summary>
    public TrainableNorm? FfnSubNorm { get; init; }

    /// <summary>Second projection of the feed-forward part.</summary>
    public required TrainableLinear Down { get; init; }

    /// <summary>All linears in the order of the forward pass.</summary>
    public IReadOnlyList<TrainableLinear> Linears
    {
        get
        {
            List<TrainableLinear> all = [];
            foreach (TrainableLinear? linear in (ReadOnlySpan<TrainableLinear?>)[Fused, Query, Key, Value, AttentionOutput, Gate, Up, Down])
            {
                if (linear is not null) all.Add(linear);
            }
            return all;
        }
    }

    /// <summary>All norms.</summary>
    public IReadOnlyList<TrainableNorm> Norms
    {
        get
        {
            List<TrainableNorm> all = [];
            foreach (TrainableNorm? norm in (ReadOnlySpan<TrainableNorm?>)[AttentionNorm, QueryNorm, KeyNorm, AttentionSubNorm, FfnNorm, FfnSubNorm])
            {
                if (norm is not null) all.Add(norm);
            }
            return all;
        }
    }
}
