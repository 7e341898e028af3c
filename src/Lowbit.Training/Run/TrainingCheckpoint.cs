using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.Training.Model;
using Lowbit.Training.Optimization;

namespace Lowbit.Training.Run;

/// <summary>
/// A training in the middle, as one safetensors file: every trained tensor under its name, the optimizer's running means
/// under name.mean and name.square, the number of steps and the fingerprint of the training in its metadata.
/// </summary>
internal static unsafe class TrainingCheckpoint
{
    public static void Save(string path, string fingerprint, int steps, AdamW optimizer)
    {
        List<(string Name, Parameter Parameter, NativeBuffer Values)> parts = [.. Parts(optimizer)];
        Dictionary<string, string> metadata = new() { ["fingerprint"] = fingerprint, ["steps"] = steps.ToString(CultureInfo.InvariantCulture) };
        using SafetensorsWriter writer = new(path, [.. parts.Select(part => new TensorSpec(part.Name, ElementFormat.F32, [part.Parameter.Rows, part.Parameter.Columns]))], metadata);
        foreach ((string name, Parameter parameter, NativeBuffer values) in parts) writer.Write(name, values.Pointer, parameter.Count * sizeof(float));
        writer.Commit();
    }

    public static int Load(string path, string fingerprint, int steps, AdamW optimizer)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Metadata.TryGetValue("steps", out string? text) || !int.TryParse(text, CultureInfo.InvariantCulture, out int done) || done < 0)
            throw new LowbitFormatException(path, "the file does not say how many steps were done; it is no checkpoint of a training.");
        if (file.Metadata.GetValueOrDefault("fingerprint") != fingerprint)
            throw new LowbitException($"{path} belongs to a training of another model, text or with other options; repeat that command with --resume, or start anew with --force.");
        if (done > steps) throw new LowbitFormatException(path, $"{done} steps were done, more than the {steps} asked for.");
        List<(string Name, Parameter Parameter, NativeBuffer Values)> parts = [.. Parts(optimizer)];
        foreach ((string name, Parameter parameter, _) in parts)
        {
            if (!file.Tensors.TryGetValue(name, out Tensor? tensor) || tensor.Format != ElementFormat.F32 || tensor.Elements != parameter.Count)
                throw new LowbitFormatException(path, $"the tensor {name} is missing or not [{string.Join(", ", parameter.Shape)}] in F32; the checkpoint is damaged.");
        }
        foreach ((string name, _, NativeBuffer values) in parts)
        {
            Tensor tensor = file.Tensors[name];
            Buffer.MemoryCopy(tensor.Pointer, values.Pointer, values.Bytes, tensor.Bytes);
        }
        return done;
    }

    private static IEnumerable<(string Name, Parameter Parameter, NativeBuffer Values)> Parts(AdamW optimizer)
    {
        for (int i = 0; i < optimizer.Parameters.Count; i++)
        {
            Parameter parameter = optimizer.Parameters[i];
            yield return (parameter.Name, parameter, parameter.Value);
            yield return (parameter.Name + ".mean", parameter, optimizer.Means[i]);
            yield return (parameter.Name + ".square", parameter, optimizer.Squares[i]);
        }
    }
}
