using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.Formats.Llama2C;
using Lowbit.Formats.Safetensors;

namespace Lowbit.Formats;

/// <summary>The files of a model, whatever their form: named tensors, mapped, and what describes them.</summary>
public sealed class Checkpoint : IDisposable
{
    private readonly IDisposable _files;

    internal Checkpoint(string path, SafetensorsFile file, JsonElement config) : this(path, CheckpointKind.HuggingFace, file, file.Tensors, file.FileBytes) => Config = config;

    internal Checkpoint(string path, ShardedSafetensors shards, JsonElement config)
        : this(path, CheckpointKind.HuggingFace, shards, shards.Tensors, shards.Shards.Sum(shard => shard.FileBytes)) => Config = config;

    internal Checkpoint(string path, GgufFile file) : this(path, CheckpointKind.Gguf, file, file.Tensors, file.FileBytes) => Gguf = file;

    internal Checkpoint(string path, Llama2CFile file) : this(path, CheckpointKind.Llama2C, file, file.Tensors, file.FileBytes) => Llama2C = file;

    private Checkpoint(string path, CheckpointKind kind, IDisposable files, IReadOnlyDictionary<string, Tensor> tensors, long fileBytes)
    {
        Path = path;
        Kind = kind;
        _files = files;
        Tensors = tensors;
        FileBytes = fileBytes;
    }

    /// <summary>Path of the folder or file, as the user gave it.</summary>
    public string Path { get; }

    /// <summary>In which form the model lies on the disk.</summary>
    public CheckpointKind Kind { get; }

    /// <summary>All tensors by the name in the file. They must not be used after <see cref="Dispose"/>.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors { get; }

    /// <summary>The content of <c>config.json</c>; null unless the kind is <see cref="CheckpointKind.HuggingFace"/>.</summary>
    public JsonElement? Config { get; }

    /// <summary>The GGUF file with its metadata; null for the other kinds.</summary>
    public GgufFile? Gguf { get; }

    /// <summary>The llama2.c file with its header; null for the other kinds.</summary>
    public Llama2CFile? Llama2C { get; }

    /// <summary>Bytes of all files with tensors together.</summary>
    public long FileBytes { get; }

    /// <summary>Opens a model.</summary>
    /// <param name="path">
    /// A Hugging Face folder, a <c>.safetensors</c> file or index with <c>config.json</c> beside it, a GGUF file or a folder with
    /// one, or a llama2.c <c>.bin</c> file.
    /// </param>
    /// <exception cref="LowbitFormatException">A file is truncated, damaged or forged.</exception>
    /// <exception cref="LowbitException">There is no such model, or it is in a form that is not supported.</exception>
    public static Checkpoint Open(string path) => CheckpointFinder.Open(path);

    /// <summary>A tensor that must be there and be readable.</summary>
    /// <param name="name">Name in the file.</param>
    /// <exception cref="LowbitFormatException">The tensor is missing, or of a ggml type that this version cannot read.</exception>
    public Tensor Find(string name)
    {
        if (!Tensors.TryGetValue(name, out Tensor? tensor))
            throw new LowbitFormatException(Path, $"the tensor '{name}' is missing; the checkpoint is incomplete or of another architecture.");
        if (tensor.Format == ElementFormat.Unsupported)
            throw new LowbitFormatException(Path, $"the tensor '{name}' is of the ggml type {Gguf!.TypeNames[name]}, which this version cannot read; get the model in another type, such as Q4_K or Q8_0.");
        return tensor;
    }

    /// <inheritdoc/>
    public void Dispose() => _files.Dispose();
}
