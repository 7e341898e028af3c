using System;
using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>
/// A matrix that <c>quantization_config.tensors</c> declares: the parts of a packed matrix, or ggml blocks
/// carried as bytes. Documented in docs/formats/lowbit-folder.md.
/// </summary>
public sealed class PackedTensor
{
    private const string OwnMethod = "lowbit";

    private readonly string _name;
    private readonly ConfigReader _entry;

    private PackedTensor(string name, ConfigReader entry)
    {
        _name = name;
        _entry = entry;
    }

    /// <summary>Reads one declaration.</summary>
    /// <param name="file">Where it stands, for messages.</param>
    /// <param name="name">Name of the matrix.</param>
    /// <param name="entry">The declaration.</param>
    public static PackedTensor Read(string file, string name, JsonElement entry) => new(name, new ConfigReader(file, entry));

    /// <summary>Name of the layout.</summary>
    public string Format => _entry.Text("format");

    /// <summary>Output features.</summary>
    public int Rows => _entry.Size("rows");

    /// <summary>Input features.</summary>
    public int Columns => _entry.Size("columns");

    /// <summary>All declared matrices by name; empty for a model that Lowbit did not write.</summary>
    /// <exception cref="LowbitFormatException">The configuration is damaged.</exception>
    public static IReadOnlyDictionary<string, PackedTensor> ReadAll(Checkpoint checkpoint)
    {
        Dictionary<string, PackedTensor> packed = [];
        if (Quantization(checkpoint) is not { } quantization || quantization.Text("quant_method", "") != OwnMethod) return packed;
        string path = quantization.Path;
        int version = quantization.Size("version");
        if (version != 1)
            throw new LowbitFormatException(path, $"\"quantization_config\" has version {version}; this program reads version 1, use a newer one.");
        ConfigReader tensors = quantization.Object("tensors")
            ?? throw new LowbitFormatException(path, "\"quantization_config\" has no \"tensors\"; quantize the model again.");
        foreach (JsonProperty property in tensors.Root.EnumerateObject())
        {
            ConfigReader entry = tensors.Object(property.Name) ?? throw tensors.Wrong(property.Name, "an object");
            packed[property.Name] = new PackedTensor(property.Name, entry);
        }
        return packed;
    }

    /// <summary>Refuses a model that another program quantized.</summary>
    internal static void CheckMethod(Checkpoint checkpoint)
    {
        if (Quantization(checkpoint) is { } quantization && quantization.Text("quant_method", "an unnamed method") is var method and not OwnMethod)
            throw new LowbitFormatException(quantization.Path, $"the weights are quantized by \"{method}\", whose layout this version cannot read; expected a float model or one that Lowbit wrote.");
    }

    /// <summary>The matrix over the mapped bytes.</summary>
    /// <param name="file">The file with the tensors, for messages.</param>
    /// <param name="find">Finds a tensor by its full name; null where there is none.</param>
    /// <param name="rows">Output features that the model expects.</param>
    /// <param name="columns">Input features that the model expects.</param>
    /// <exception cref="LowbitException">Declaration and tensors do not fit each other or the model.</exception>
    public WeightMatrix Load(string file, Func<string, Tensor?> find, int rows, int columns) =>
        Layouts.Load(new Declaration(_entry, _name, file, find, rows, columns));

    private static ConfigReader? Quantization(Checkpoint checkpoint) =>
        checkpoint.Config is { } config ? new ConfigReader(Architecture.ConfigPath(checkpoint), config).Object("quantization_config") : null;
}
