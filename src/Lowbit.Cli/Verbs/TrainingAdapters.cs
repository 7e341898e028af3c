using System;
using System.Collections.Generic;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Cli.Verbs;

/// <summary>What an adapter method stands on: the weights of the blocks as they stay in memory, and where the adapters begin.</summary>
internal sealed class TrainingAdapters : IDisposable
{
    private readonly Dictionary<string, WeightMatrix> _packed = [];
    private readonly Dictionary<string, AdapterStart> _starts = [];
    private readonly List<PackedWeight> _owned = [];

    /// <summary>By linear; empty where the weights stay float32.</summary>
    public IReadOnlyDictionary<string, WeightMatrix> Packed => _packed;

    /// <summary>Takes the packed weights of a model as they are, and packs float ones as NF4, with the error of that as the start of the adapters if asked for.</summary>
    /// <param name="source">The model.</param>
    /// <param name="begin">Splits a float weight by LoftQ or LQ-LoRA; null where adapters begin at zero.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="invocation">Stops the work.</param>
    public static TrainingAdapters OverPacked(LanguageModel source, Func<LinearLayer, AdapterStart>? begin, WorkerPool pool, Invocation invocation) => Make(source, (adapters, linear) =>
    {
        if (begin is not null) RequireFloat(linear);
        if (!IsFloat(linear)) return linear.Weight;
        if (begin is null) return adapters.Own(linear.Name, new TableRtnOptions().Quantize(Layer(linear), pool, invocation.Cancellation));
        AdapterStart start = begin(Layer(linear));
        adapters._starts[linear.Name] = start;
        return adapters.Own(linear.Name, start.Quantized);
    });

    /// <summary>The weights of all linears, which must be float.</summary>
    public static IEnumerable<LinearLayer> FloatLayers(LanguageModel source)
    {
        foreach (Block block in source.Blocks)
            foreach ((_, Linear linear) in block.Linears())
            {
                RequireFloat(linear);
                yield return Layer(linear);
            }
    }

    private static void RequireFloat(Linear linear)
    {
        if (!IsFloat(linear))
            throw new UsageException($"--loftq and --lq-lora need the float weights, but {linear.Name} is packed as {linear.Weight.Format}; start from the original model or leave the option away.");
    }

    private static bool IsFloat(Linear linear) => linear.Weight.Format is "F64" or "F32" or "F16" or "BF16";

    /// <summary>Packs all weights on uniform grids.</summary>
    public static TrainingAdapters OverUniform(LanguageModel source, RtnOptions options, WorkerPool pool, Invocation invocation) => Make(source, (adapters, linear) =>
        adapters.Own(linear.Name, options.Quantize(Layer(linear), pool, invocation.Cancellation)));

    /// <summary>Gives every linear its adapter.</summary>
    public void Attach(TrainableModel model, int rank, double alpha, int seed, int groupSize)
    {
        foreach (TrainableLinear linear in model.Linears)
        {
            LowRankAdapter adapter = new(linear, rank, alpha, seed, groupSize < 0 ? linear.Weight.Columns : Math.Min(groupSize, linear.Weight.Columns));
            linear.Use(adapter);
            if (_starts.TryGetValue(linear.Name, out AdapterStart? start)) adapter.Begin(start);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PackedWeight weight in _owned) weight.Dispose();
    }

    private static TrainingAdapters Make(LanguageModel source, Func<TrainingAdapters, Linear, WeightMatrix> pack)
    {
        TrainingAdapters adapters = new();
        try
        {
            foreach (Block block in source.Blocks)
                foreach ((_, Linear linear) in block.Linears()) adapters._packed[linear.Name] = pack(adapters, linear);
            return adapters;
        }
        catch
        {
            adapters.Dispose();
            throw;
        }
    }

    private WeightMatrix Own(string name, QuantizedMatrix quantized)
    {
        PackedWeight weight = new(name, quantized);
        _owned.Add(weight);
        return weight.Matrix;
    }

    private static unsafe LinearLayer Layer(Linear linear)
    {
        float[] weight = new float[checked(linear.Weight.Rows * linear.Weight.Columns)];
        fixed (float* values = weight) linear.Weight.DequantizeRows(0, linear.Weight.Rows, values);
        return new LinearLayer(linear.Name, linear.Weight.Rows, linear.Weight.Columns, weight);
    }
}
