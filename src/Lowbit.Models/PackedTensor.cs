using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Kernels;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tables;
using Lowbit.Kernels.Uniform;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>
/// A matrix that <c>quantization_config.tensors</c> declares: the parts of a packed matrix, or ggml blocks
/// carried as bytes. Documented in docs/formats/lowbit-folder.md.
/// </summary>
public sealed class PackedTensor
{
    /// <summary>Name of the layout of partially binarized matrices.</summary>
    public const string PartiallyBinarized = "partially-binarized";

    /// <summary>Name of the layout of matrices on uniform grids.</summary>
    public const string Uniform = "uniform";

    /// <summary>Name of the layout of matrices of table codes.</summary>
    public const string Table = "table";

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
    /// <param name="find">Finds a tensor by its full name; null where there is none.</param>
    /// <param name="rows">Output features that the model expects.</param>
    /// <param name="columns">Input features that the model expects.</param>
    /// <exception cref="LowbitException">Declaration and tensors do not fit each other or the model.</exception>
    public WeightMatrix Load(string file, Func<string, Tensor?> find, int rows, int columns)
    {
        return _format switch
        {
            PartiallyBinarized => new PartiallyBinarizedMatrix(_name, PartiallyBinarizedLayout(rows, columns), Parts(find, PartiallyBinarizedPacking.Suffixes)),
            Uniform => UniformMatrix.Load(_name, UniformLayout(rows, columns), Parts(find, UniformPacking.Suffixes)),
            Table => new TableMatrix(_name, TableLayout(rows, columns), Parts(find, TablePacking.Suffixes)),
            _ => Blocks(file, find, rows, columns),
        };
    }

    private PartiallyBinarizedLayout PartiallyBinarizedLayout(int rows, int columns) => new(
        Declared("rows", rows), Declared("columns", columns), Number("low_bits"), Number("high_bits"), Number("low_group_size"), Number("high_group_size"), ScaleFormat(),
        _entry.Text("positions") switch { "bitmap" => PositionsForm.Bitmap, "coded" => PositionsForm.Coded, _ => throw _entry.Wrong("positions", "bitmap or coded") },
        Number("rice_parameter"));

    private UniformLayout UniformLayout(int rows, int columns) => new(
        Declared("rows", rows), Declared("columns", columns), Number("bits"), Number("group_size"), ScaleFormat(), _entry.Flag("real_zeros", false), _entry.Flag("reordered", false));

    private TableLayout TableLayout(int rows, int columns) =>
        new(Declared("rows", rows), Declared("columns", columns), Number("block_size"), _entry.Flag("nested_scales", false));

    private Dictionary<string, Tensor> Parts(Func<string, Tensor?> find, IEnumerable<string> suffixes)
    {
        Dictionary<string, Tensor> parts = [];
        foreach (string suffix in suffixes)
        {
            if (find($"{_name}.{suffix}") is { } part) parts[suffix] = part;
        }
        return parts;
    }

    private ElementFormat ScaleFormat() =>
        _entry.Text("scale_format") switch { "F16" => ElementFormat.F16, "F32" => ElementFormat.F32, _ => throw _entry.Wrong("scale_format", "F16 or F32") };

    /// <summary>The declaration of a packed matrix, as <see cref="Read"/> takes it.</summary>
    public static JsonObject ToJson(PartiallyBinarizedLayout layout) => new()
    {
        ["format"] = PartiallyBinarized,
        ["rows"] = layout.Rows,
        ["columns"] = layout.Columns,
        ["low_bits"] = layout.LowBits,
        ["high_bits"] = layout.HighBits,
        ["low_group_size"] = layout.LowGroupSize,
        ["high_group_size"] = layout.HighGroupSize,
        ["scale_format"] = layout.ScaleFormat.ToString(),
        ["positions"] = layout.Positions == PositionsForm.Coded ? "coded" : "bitmap",
        ["rice_parameter"] = layout.RiceParameter,
    };

    /// <summary>The declaration of a packed matrix on uniform grids.</summary>
    public static JsonObject ToJson(UniformLayout layout) => new()
    {
        ["format"] = Uniform,
        ["rows"] = layout.Rows,
        ["columns"] = layout.Columns,
        ["bits"] = layout.Bits,
        ["group_size"] = layout.GroupSize,
        ["scale_format"] = layout.ScaleFormat.ToString(),
        ["real_zeros"] = layout.RealZeros,
        ["reordered"] = layout.Reordered,
    };

    /// <summary>The declaration of a packed matrix of table codes.</summary>
    public static JsonObject ToJson(TableLayout layout) => new()
    {
        ["format"] = Table,
        ["rows"] = layout.Rows,
        ["columns"] = layout.Columns,
        ["block_size"] = layout.BlockSize,
        ["nested_scales"] = layout.NestedScales,
    };

    private unsafe DenseMatrix Blocks(string file, Func<string, Tensor?> find, int rows, int columns)
    {
        if (!Enum.TryParse(_format, out ElementFormat format) || format.BlockLength() == 1) throw _entry.Wrong("format", "partially-binarized, uniform, table or a ggml type");
        Tensor bytes = find(_name + ".blocks") ?? throw new LowbitFormatException(file, $"the tensor '{_name}.blocks' is missing, though the configuration declares it; quantize the model again.");
        if (columns % format.BlockLength() != 0 || bytes.Bytes != format.ByteCount((long)Declared("rows", rows) * Declared("columns", columns)))
            throw new LowbitFormatException(file, $"tensor {bytes.Name} has {bytes.Bytes} bytes; [{rows}, {columns}] in {format} takes {format.ByteCount((long)rows * columns)}.");
        return new DenseMatrix(new Tensor(_name, format, [rows, columns], bytes.Pointer, bytes.Bytes, bytes.Owner));
    }

    // A whole number whose range the layout itself checks.
    private int Number(string key) => _entry.Integers(key) is [int number] ? number : throw _entry.Wrong(key, "a whole number");

    private int Declared(string key, int expected)
    {
        int declared = _entry.Size(key);
        return declared == expected ? declared
            : throw new LowbitFormatException(_entry.Path, $"\"quantization_config\" declares {declared} {key} for {_name}; expected {expected} by the model's configuration.");
    }
}
