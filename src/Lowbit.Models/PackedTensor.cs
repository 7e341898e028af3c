using System;
using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>
/// A matrix that <c>quantization_config.tensors</c> declares: either the parts of a partially binarized matrix, or ggml
/// blocks carried as bytes. Documented in docs/formats/lowbit-folder.md.
/// </summary>
public sealed class PackedTensor
{
    /// <summary>Name of the layout of partially binarized matrices.</summary>
    public const string PartiallyBinarized = "partially-binarized";

    private readonly string _name;
    private readonly string _format;
    private readonly ConfigReader _entry;

    private PackedTensor(string name, ConfigReader entry)
    {
        _name = name;
        _format = entry.Text("format");
        _entry = entry;
    }

    /// <summary>Reads one declaration.</summary>
    /// <param name="file">Where it stands, for messages.</param>
    /// <param name="name">Name of the matrix.</param>
    /// <param name="entry">The declaration.</param>
    public static PackedTensor Read(string file, string name, JsonElement entry) => new(name, new ConfigReader(file, entry));

    /// <summary>All declared matrices by name; empty for a model that Lowbit did not write.</summary>
    internal static Dictionary<string, PackedTensor> ReadAll(Checkpoint checkpoint)
    {
        Dictionary<string, PackedTensor> packed = [];
        if (checkpoint.Config is not JsonElement config) return packed;
        string path = Architecture.ConfigPath(checkpoint);
        ConfigReader? quantization = new ConfigReader(path, config).Object("quantization_config");
        if (quantization is null) return packed;
        if (quantization.Text("quant_method", "") != "lowbit")
            throw new LowbitFormatException(path, $"the weights are quantized by \"{quantization.Text("quant_method", "an unnamed method")}\", whose layout this version cannot read; expected a float model or one that Lowbit wrote.");
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

    /// <summary>The matrix over the mapped bytes.</summary>
    /// <param name="file">The file with the tensors, for messages.</param>
    /// <param name="find">Finds a tensor by its full name or throws.</param>
    /// <param name="rows">Output features that the model expects.</param>
    /// <param name="columns">Input features that the model expects.</param>
    /// <exception cref="LowbitException">Declaration and tensors do not fit each other or the model.</exception>
    public WeightMatrix Load(string file, Func<string, Tensor> find, int rows, int columns)
    {
        if (_format != PartiallyBinarized) return Blocks(file, find, rows, columns);
        PartiallyBinarizedLayout layout = new(
            Declared("rows", rows), Declared("columns", columns), _entry.Integers("low_bits")[0], _entry.Size("high_bits"),
            _entry.Size("low_group_size"), _entry.Size("high_group_size"));
        return new PartiallyBinarizedMatrix(_name, layout, suffix => find($"{_name}.{suffix}"));
    }

    private unsafe DenseMatrix Blocks(string file, Func<string, Tensor> find, int rows, int columns)
    {
        if (!Enum.TryParse(_format, out ElementFormat format) || format.BlockLength() == 1) throw _entry.Wrong("format", "partially-binarized or a ggml type");
        Tensor bytes = find(_name + ".blocks");
        if (columns % format.BlockLength() != 0 || bytes.Bytes != format.ByteCount((long)Declared("rows", rows) * Declared("columns", columns)))
            throw new LowbitFormatException(file, $"tensor {bytes.Name} has {bytes.Bytes} bytes; [{rows}, {columns}] in {format} takes {format.ByteCount((long)rows * columns)}.");
        return new DenseMatrix(new Tensor(_name, format, [rows, columns], bytes.Pointer, bytes.Bytes, bytes.Owner));
    }

    private int Declared(string key, int expected)
    {
        int declared = _entry.Size(key);
        return declared == expected ? declared
            : throw new LowbitFormatException(_entry.Path, $"\"quantization_config\" declares {declared} {key} for {_name}; expected {expected} by the model's configuration.");
    }
}
