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
/// Of a finished block of <see cref="BlockTraining"/> the tensors alone, and what its report says.
/// </summary>
internal static unsafe class TrainingCheckpoint
{
    public static void Save(string path, string fingerprint, int steps, AdamW optimizer) =>
        Write(path, Parts(optimizer), new() { ["fingerprint"] = fingerprint, ["steps"] = steps.ToString(CultureInfo.InvariantCulture) });

    public static void Save(string path, string fingerprint, BlockReport report, IEnumerable<Parameter> parameters)
    {
        Write(path, Parts(parameters), new()
        {
            ["fingerprint"] = fingerprint,
            ["before"] = report.Before.ToString("R", CultureInfo.InvariantCulture),
            ["after"] = report.After.ToString("R", CultureInfo.InvariantCulture),
        });
    }

    public static BlockReport Load(string path, string fingerprint, int block, IEnumerable<Parameter> parameters)
    {
        using SafetensorsFile file = Open(path, fingerprint);
        double Number(string name) => double.TryParse(file.Metadata.GetValueOrDefault(name), CultureInfo.InvariantCulture, out double value) ? value
            : throw new LowbitFormatException(path, $"the file does not say what the error of its block was {name} the training; delete it, and the block is trained again.");
        BlockReport report = new(block, Number("before"), Number("after"));
        Read(path, file, [.. Parts(parameters)]);
        return report;
    }

    public static int Load(string path, string fingerprint, int steps, AdamW optimizer)
    {
        using SafetensorsFile file = Open(path, fingerprint);
        if (!file.Metadata.TryGetValue("steps", out string? text) || !int.TryParse(text, CultureInfo.InvariantCulture, out int done) || done < 0)
            throw new LowbitFormatException(path, "the file does not say how many steps were done; it is no checkpoint of a training.");
        if (done > steps) throw new LowbitFormatException(path, $"{done} steps were done, more than the {steps} asked for.");
        Read(path, file, [.. Parts(optimizer)]);
        return done;
    }

    private static SafetensorsFile Open(string path, string fingerprint)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        if (file.Metadata.GetValueOrDefault("fingerprint") == fingerprint) return file;
        file.Dispose();
        throw new LowbitException($"{path} belongs to a training of another model, text or with other options; repeat that command with --resume, or start anew with --force.");
    }

    private static void Write(string path, IEnumerable<Part> tensors, Dictionary<string, string> metadata)
    {
        List<Part> parts = [.. tensors];
        using SafetensorsWriter writer = new(path, [.. parts.Select(part => new TensorSpec(part.Name, part.Format, [part.Elements]))], metadata);
        foreach (Part part in parts) writer.Write(part.Name, part.Values.Pointer, part.Values.Bytes);
        writer.Commit();
    }

    // Nothing is changed where a tensor is missing.
    private static void Read(string path, SafetensorsFile file, List<Part> parts)
    {
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
    }

    private static IEnumerable<Part> Parts(IEnumerable<Parameter> parameters) => parameters.Select(parameter => new Part(parameter.Name, ElementFormat.F32, parameter.Value));

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
