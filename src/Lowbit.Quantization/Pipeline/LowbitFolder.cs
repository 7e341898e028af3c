using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Llama2C;
using Lowbit.Formats.Safetensors;
using Lowbit.Kernels;
using Lowbit.Kernels.Blocks;
using Lowbit.Models;
using Lowbit.Models.Architectures;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>
/// Writes the folder that a run makes: <c>model.safetensors</c>, <c>config.json</c> with its <c>quantization_config</c>,
/// the tokenizer's files. It stands alone: the original is not needed to open it. See docs/formats/lowbit-folder.md.
/// </summary>
internal static unsafe class LowbitFolder
{
    private const long WrittenAtOnce = 1 << 22; // bytes whose mapped pages are in memory at a time

    /// <summary>Files of a tokenizer in a Hugging Face folder.</summary>
    internal static readonly string[] CopiedFiles =
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt", "special_tokens_map.json",
        "added_tokens.json", "generation_config.json", "chat_template.jinja", "tokenizer.gguf", "tokenizer.bin",
    ];

    /// <summary>What was written.</summary>
    public sealed record Written(long WeightBytes, long FileBytes, long Parameters, IReadOnlyList<ByteItem> Items);

    /// <summary>Refuses an output that cannot be made before hours are spent on it.</summary>
    public static void CheckOutput(string output, bool force)
    {
        if (File.Exists(output)) throw new LowbitException($"{output}: there is a file of this name; give the name of a new folder with -o.");
        if (Directory.Exists(output) && Directory.EnumerateFileSystemEntries(output).Any() && !force)
            throw new LowbitException($"{output}: the folder is there and not empty; choose another with -o or replace it with --force.");
    }

    /// <summary>Refuses a source whose linears are quantized by Lowbit already.</summary>
    public static void CheckSource(Checkpoint checkpoint)
    {
        if (PackedTensor.ReadAll(checkpoint).Count > 0)
            throw new LowbitException($"{checkpoint.Path}: the model is quantized already; start from the original.");
    }

    /// <summary>A linear's name in the written folder, which follows Hugging Face whatever the source calls it.</summary>
    public static string NameInFolder(LanguageModel model, string name) =>
        model.Checkpoint.Kind == CheckpointKind.Gguf ? TensorNames.Llama.Translate(name, TensorNames.Gguf, model.Config.BlockCount) : name;

    /// <summary>Packs what a method gave.</summary>
    public static PackedLayer Pack(QuantizedMatrix quantized, QuantizeOptions options) => PackedLayer.Of(quantized, options.Positions)
        ?? throw new LowbitException($"--method {options.Method}: its result has no packed form in this version; use another method, or try the method on one matrix with the verb layer.");

    /// <summary>A finished layer as the engine computes from it.</summary>
    public static WeightMatrix Load(SafetensorsFile file, string name, int rows, int columns)
    {
        if (!file.Metadata.TryGetValue("layout", out string? layout))
            throw new LowbitFormatException(file.Path, "the finished layer says nothing of its layout; delete the work folder and start anew.");
        using JsonDocument document = JsonDocument.Parse(layout);
        return PackedTensor.Read(file.Path, name, document.RootElement).Load(
            file.Path, part => file.Tensors.GetValueOrDefault(part), rows, columns);
    }

    /// <summary>Puts the finished layers and everything that was not quantized together in the work folder; of the latter some may have come to other values, by their names in the source.</summary>
    public static Written Write(LayerStore store, QuantizeOptions options, LanguageModel model, IReadOnlyList<LayerReport> layers, QuantizationRecord record, IReadOnlyDictionary<string, Tensor>? replaced = null)
    {
        Checkpoint checkpoint = model.Checkpoint;
        HashSet<string> quantized = [.. layers.Select(layer => layer.Name)];
        JsonObject declared = [];
        List<(TensorSpec Spec, string Part, Action<SafetensorsWriter> Write)> tensors = [];
        Dictionary<string, SafetensorsFile> open = [];
        try
        {
            foreach (LayerReport layer in layers)
            {
                SafetensorsFile file = store.Open(layer.Name);
                open.Add(layer.Name, file);
                declared[layer.Name] = JsonNode.Parse(file.Metadata["layout"]);
                foreach (Tensor part in file.Tensors.Values)
                    tensors.Add((new TensorSpec(part.Name, part.Format, part.Shape), PackedLayer.Describe(part.Name), writer => Converted(writer, part.Name, part, part.Format)));
            }
            long parameters = layers.Sum(layer => layer.Weights);
            foreach (Tensor stored in checkpoint.Tensors.Values)
            {
                Tensor tensor = replaced?.GetValueOrDefault(stored.Name) ?? stored;
                string full = tensor.Name, ending = Path.GetExtension(full), name = NameInFolder(model, full[..^ending.Length]);
                if (ending == ".weight" && quantized.Contains(name)) continue;
                parameters += tensor.Elements;
                tensors.Add(Unquantized(model, options, tensor, name, ending, declared));
            }
            // Widest elements first, so that all of them are aligned; each group in the order of the forward pass.
            tensors = [.. tensors.OrderByDescending(tensor => tensor.Spec.Format.BlockBytes())];
            string path = Path.Combine(store.Folder, "model.safetensors");
            using (SafetensorsWriter writer = new(path, [.. tensors.Select(tensor => tensor.Spec)], new Dictionary<string, string> { ["format"] = "pt", ["made_by"] = "lowbit" }))
            {
                foreach ((_, _, Action<SafetensorsWriter> write) in tensors) write(writer);
                writer.Commit();
            }
            WriteConfig(store.Folder, model, record, declared);
            CopyTokenizer(store.Folder, checkpoint.Path, checkpoint);
            return Count(path, parameters, tensors.Select(tensor => (tensor.Part, tensor.Spec.Bytes)));
        }
        finally
        {
            foreach (SafetensorsFile file in open.Values) file.Dispose();
        }
    }

    private static (TensorSpec Spec, string Part, Action<SafetensorsWriter> Write) Unquantized(
        LanguageModel model, QuantizeOptions options, Tensor tensor, string name, string ending, JsonObject declared)
    {
        TensorNames names = model.Checkpoint.Kind == CheckpointKind.Gguf ? TensorNames.Llama : model.Config.Names;
        bool isEmbedding = ending == ".weight" && (name == names.Embedding || name == names.Head || name == names.Positions);
        string part = isEmbedding ? "embeddings" : "norms, biases and others";
        ElementFormat format = (isEmbedding ? options.Embeddings : EmbeddingFormat.Keep) switch
        {
            EmbeddingFormat.F16 => ElementFormat.F16,
            EmbeddingFormat.Q8_0 when tensor.Columns % ElementFormat.Q8_0.BlockLength() == 0 => ElementFormat.Q8_0,
            EmbeddingFormat.Q8_0 => throw new LowbitException($"--embeddings q8_0: rows of {tensor.Columns} in {tensor.Name} are no multiple of 32; use f16 or keep."),
            _ => tensor.Format,
        };
        if (format.BlockLength() == 1)
            return (new TensorSpec(name + ending, format, tensor.Shape), part, writer => Converted(writer, name + ending, tensor, format));
        // ggml blocks travel as bytes; the configuration says what they are.
        declared[name] = new JsonObject { ["format"] = format.ToString(), ["rows"] = tensor.Rows, ["columns"] = tensor.Columns };
        string blocks = name + ".blocks";
        return (new TensorSpec(blocks, ElementFormat.U8, [tensor.Rows, format.ByteCount(tensor.Columns)]), part, writer => Converted(writer, blocks, tensor, format));
    }

    private static void Converted(SafetensorsWriter writer, string name, Tensor tensor, ElementFormat format)
    {
        if (format == tensor.Format)
        {
            for (long start = 0; start < tensor.Bytes; start += WrittenAtOnce)
            {
                writer.Write(name, tensor.Pointer + start, Math.Min(WrittenAtOnce, tensor.Bytes - start));
                tensor.ReleasePages();
            }
            return;
        }
        float[] row = new float[tensor.Columns];
        byte[] bytes = new byte[format.ByteCount(tensor.Columns)];
        for (long r = 0; r < tensor.Rows; r++)
        {
            fixed (float* values = row) Dequantizer.ToFloat(tensor.Format, tensor.Pointer + r * tensor.RowBytes, row.Length, values);
            BlockEncoder.FromFloat(format, row, bytes);
            writer.Write(name, bytes);
        }
    }

    private static void WriteConfig(string folder, LanguageModel model, QuantizationRecord record, JsonObject declared)
    {
        JsonObject config = model.Checkpoint.Config is { } source ? JsonObject.Create(source)! : ConfigWriter.ToJson(model.Config);
        config["quantization_config"] = record.ToJson(declared);
        AtomicFile.WriteJson(Path.Combine(folder, "config.json"), config);
    }

    /// <summary>Copies the files of the tokenizer, whatever form they have; the checkpoint at the path is null where a folder has a tokenizer alone.</summary>
    internal static void CopyTokenizer(string folder, string path, Checkpoint? checkpoint)
    {
        string from = Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (checkpoint?.Gguf is { } gguf)
        {
            using AtomicFile file = new(Path.Combine(folder, "tokenizer.gguf"));
            gguf.WriteMetadataOnly(file.Stream);
            file.Commit();
            return;
        }
        // A model of llama2.c that was written anew keeps its own form of tokenizer.
        Llama2CTokenizerFile? own = checkpoint?.Llama2C is { } model ? Llama2CTokenizerFile.Find(from, model.Header.Vocabulary)
            : checkpoint?.Config is { } config ? Llama2CTokenizerFile.Find(from, config) : null;
        List<string> names = checkpoint?.Kind == CheckpointKind.Llama2C ? [] : [.. CopiedFiles.Where(name => File.Exists(Path.Combine(from, name)))];
        if (own is not null) names.Add(Path.GetFileName(own.Path));
        foreach (string name in names) File.WriteAllBytes(Path.Combine(folder, name), File.ReadAllBytes(Path.Combine(from, name)));
    }

    private static Written Count(string path, long parameters, IEnumerable<(string Part, long Bytes)> tensors)
    {
        Dictionary<string, long> parts = [];
        foreach ((string part, long bytes) in tensors) parts[part] = parts.GetValueOrDefault(part) + bytes;
        long weightBytes = parts.Values.Sum(), fileBytes = new FileInfo(path).Length;
        parts["header"] = fileBytes - weightBytes;
        return new Written(weightBytes, fileBytes, parameters, [.. parts.Select(part => new ByteItem(part.Key, part.Value))]);
    }
}
