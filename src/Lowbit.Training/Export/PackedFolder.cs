using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats.Safetensors;
using Lowbit.Models;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.Training.Methods;
using Lowbit.Training.Model;

namespace Lowbit.Training.Export;

/// <summary>What was written.</summary>
/// <param name="WeightBytes">Bytes of all tensors.</param>
/// <param name="BitsPerWeight">These bytes over all weights.</param>
/// <param name="LinearBitsPerWeight">The same for the packed linears alone.</param>
/// <param name="NominalBitsPerWeight">The figure of the method's paper.</param>
public sealed record PackedSize(long WeightBytes, double BitsPerWeight, double LinearBitsPerWeight, double NominalBitsPerWeight);

/// <summary>Writes a folder whose linears are packed from the codes of their forms; everything else comes from the source as it stands there.</summary>
public static class PackedFolder
{
    /// <summary>Writes the folder; it takes its name when it is whole.</summary>
    /// <remarks>Where more than the linears was trained, the source is a <see cref="FloatFolder"/> of the trained model.</remarks>
    /// <param name="options">Output, method and how things are stored.</param>
    /// <param name="model">The trained model; every linear of its blocks has a form that gives codes, or an adapter that merges into zeros or stands beside a packed weight.</param>
    /// <param name="source">The model that the rest is taken from.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="trained">What else was trained: it takes the place of the source's tensors, in float32.</param>
    public static unsafe PackedSize Write(QuantizeOptions options, TrainableModel model, LanguageModel source, WorkerPool pool, IEnumerable<Parameter>? trained = null)
    {
        LayerStore store = new(options.Output, Guid.NewGuid().ToString(), force: true);
        List<LayerReport> layers = [];
        double nominalBits = 0;
        foreach (TrainableLinear linear in model.Linears)
        {
            QuantizedMatrix quantized = linear.Adapter switch
            {
                null => linear.Form?.Quantize(linear.Weight) ?? throw new LowbitException($"{linear.Name} has no packed form in this version."),
                { GroupSize: 1 } => SeparateAdapter.Pack(linear, pool),
                _ => QaLora.Merge(linear, pool),
            };
            string name = FolderNames.Of(model, linear.Name);
            store.Save(name, LowbitFolder.Pack(quantized, options), deadInputs: 0);
            using SafetensorsFile file = store.Open(name);
            long bytes = file.Tensors.Values.Sum(tensor => tensor.Bytes);
            layers.Add(new LayerReport(name, double.NaN, bytes * 8.0 / linear.Weight.Count, linear.Weight.Count, bytes, options.Method, DeadInputs: 0));
            nominalBits += quantized.NominalBitsPerWeight * linear.Weight.Count;
        }
        long weights = layers.Sum(layer => layer.Weights);
        nominalBits /= weights;
        Dictionary<string, Tensor> replaced = (trained ?? []).ToDictionary(parameter => parameter.Name, parameter =>
            new Tensor(parameter.Name, ElementFormat.F32, [.. parameter.Shape.Select(length => (long)length)], (byte*)parameter.Value.Pointer, parameter.Value.Bytes, parameter));
        LowbitFolder.Written written = LowbitFolder.Write(store, options, source, layers, new QuantizationRecord(options, null, nominalBits), replaced);
        store.Finish(options.Output);
        return new PackedSize(written.WeightBytes, written.WeightBytes * 8.0 / written.Parameters, layers.Sum(layer => layer.Bytes) * 8.0 / weights, nominalBits);
    }
}
