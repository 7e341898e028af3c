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
/// under name.mean and name.square (in eight bits with name.mean.scales and name.square.scales), the number of steps and the fingerprint of the training in its metadata.
/// </summary>
internal static unsafe class TrainingCheckpoint
{
    public static void Save(string path, string fingerprint, int steps, AdamW optimizer)
    {
        List<Part> parts = [.. Parts(optimizer)];
        Dictionary<string, string> metadata = new() { ["fingerprint"] = fingerprint, ["steps"] = steps.ToString(CultureInfo.InvariantCulture) };
        using SafetensorsWriter writer = new(path, [.. parts.Select(part => new TensorSpec(part.Name, part.Format, [part.Elements]))], metadata);
        foreach (Part part in parts) writer.Write(part.Name, part.Values.Pointer, part.Values.Bytes);
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
        List<Part> parts = [.. Parts(optimizer)];
        foreach (Part part in parts)
        {
            if (!file.Tensors.TryGetValue(part.Name, out Tensor? tensor) || tensor.Format != part.Format || tensor.Elements != part.Elements)
                throw new LowbitFormatException(path, $"the tensor {part.Name} is missing or not {part.Elements} numbers in {part.Format}; the checkpoint is damaged.");
        }
        foreach (Part part in parts)
        {
            Tensor tensor = file.Tensors[part.Name];
            Buffer.MemoryCopy(tensor.Pointer, part.Values.Pointer, part.Values.Bytes, tensor.Bytes);
        }
        return done;
    }

    private static IEnumerable<Part> Parts(AdamW optimizer)
    {
        for (int i = 0; i < optimizer.Parameters.Count; i++)
        {
            Parameter parameter = optimizer.Parameters[i];
            yield return new Part(parameter.Name, ElementFormat.F32, parameter.Value);
            foreach ((string suffix, RunningMeans means) in ((string, RunningMeans)[])[(".mean", optimizer.Means[i]), (".square", optimizer.Squares[i])])
            {
                yield return new Part(parameter.Name + suffix, means.Scales is null ? ElementFormat.F32 : ElementFormat.U8, means.Values);
                if (means.Scales is not null) yield return new Part(parameter.Name + suffix + ".scales", ElementFormat.F32, means.Scales);
            }
        }
    }

    private sealed record Part(string Name, ElementFormat Format, NativeBuffer Values)
    {
        public long Elements => Values.Bytes / Format.BlockBytes();
    }
}
