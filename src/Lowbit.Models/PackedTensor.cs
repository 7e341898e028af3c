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
internal sealed class PackedTensor
{
    private readonly string _name;
    private readonly string _format;
    private readonly ConfigReader _entry;

    private PackedTensor(string name, ConfigReader entry)
    {
        _name = name;
        _format = entry.Text("format");
        _entry = entry;
    }

    /// <summary>All declared matrices by name; empty for a model that Lowbit did not write.</summary>
    public static Dictionary<string, PackedTensor> ReadAll(Checkpoint checkpoint)
    {
        Dictionary<string, PackedTensor> packed = [];
        if (checkpoint.Config is not JsonElement config) return packed;
        ConfigReader? quantization = new ConfigReader(Architecture.ConfigPath(checkpoint), config).Object("quantization_config");
        if (quantization is null) return packed;
        if (quantization.Text("quant_method", "") != "lowbit")
            throw new LowbitFormatException(Architecture.ConfigPath(checkpoint), $"the weights are quantized by \"{quantization.Text("quant_method", "an unnamed method")}\", whose layout this version cannot read; expected a float model or one that Lowbit wrote.");
        int version = quantization.Size("version");
        if (version != 1)
            throw new LowbitFormatException(Architecture.ConfigPath(checkpoint), $"\"quantization_config\" has version {version}; this program reads version 1, use a newer one.");
        ConfigReader tensors = quantization.Object("tensors")
            ?? throw new LowbitFormatException(Architecture.ConfigPath(checkpoint), "\"quantization_config\" has no \"tensors\"; quantize the model again.");
        foreach (JsonProperty property in tensors.Root.EnumerateObject())
        {
            ConfigReader entry = tensors.Object(property.Name) ?? throw tensors.Wrong(property.Name, "an object");
            packed[property.Name] = new PackedTensor(property.Name, entry);
        }
        return packed;
    }

    /// <summary>The matrix over the mapped bytes.</summary>
    public WeightMatrix Load(Checkpoint checkpoint, int rows, int columns)
    {
        if (_format != "partially-binarized") return Blocks(checkpoint, rows, columns);
        PartiallyBinarizedLayout layout = new(
            Declared("rows", rows), Declared("columns", columns), _entry.Integers("low_bits")[0], _entry.Size("high_bits"),
            _entry.Size("low_group_size"), _entry.Size("high_group_size"));
        return new PartiallyBinarizedMatrix(_name, layout, suffix => checkpoint.Find($"{_name}.{suffix}"));
    }

    private unsafe DenseMatrix Blocks(Checkpoint checkpoint, int rows, int columns)
    {
        if (!Enum.TryParse(_format, out ElementFormat format) || format.BlockLength() == 1) throw _entry.Wrong("format", "partially-binarized or a ggml type");
        Tensor bytes = checkpoint.Find(_name + ".blocks");
        if (columns % format.BlockLength() != 0 || bytes.Bytes != format.ByteCount((long)Declared("rows", rows) * Declared("columns", columns)))
            throw new LowbitFormatException(checkpoint.Path, $"tensor {bytes.Name} has {bytes.Bytes} bytes; [{rows}, {columns}] in {format} takes {format.ByteCount((long)rows * columns)}.");
        return new DenseMatrix(new Tensor(_name, format, [rows, columns], bytes.Pointer, bytes.Bytes, bytes.Owner));
    }

    private int Declared(string key, int expected)
    {
        int declared = _entry.Size(key);
        return declared == expected ? declared
            : throw new LowbitFormatException(_entry.Path, $"\"quantization_config\" declares {declared} {key} for {_name}; expected {expected} by the model's configuration.");
    }
}
