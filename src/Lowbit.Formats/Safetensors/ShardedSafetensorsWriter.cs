using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text.Encodings.Web;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>
/// Writes a model into a folder as Hugging Face does: one <c>model.safetensors</c> if it fits into a shard, else
/// <c>model-00001-of-0000N.safetensors</c> and so on with <c>model.safetensors.index.json</c>. No file appears before <see cref="Commit"/>.
/// </summary>
public sealed unsafe class ShardedSafetensorsWriter : IDisposable
{
    private readonly string _folder;
    private readonly List<List<TensorSpec>> _shards = [];
    private readonly Dictionary<string, int> _shardOf = [];
    private readonly IReadOnlyDictionary<string, string> _metadata;
    private readonly List<SafetensorsWriter> _writers = [];
    private readonly long _totalBytes;

    /// <summary>Assigns the tensors to shards; nothing is written yet.</summary>
    /// <param name="folder">The folder, which exists.</param>
    /// <param name="tensors">All tensors, in the order in which their bytes will come.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c> of every shard.</param>
    /// <param name="maxShardBytes">Most bytes of tensors in a file; a larger tensor gets a file of its own.</param>
    /// <exception cref="LowbitException">A name is there twice, or a shape does not fit its format.</exception>
    public ShardedSafetensorsWriter(string folder, IReadOnlyList<TensorSpec> tensors, IReadOnlyDictionary<string, string> metadata, long maxShardBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxShardBytes);
        _folder = folder;
        _metadata = metadata;
        _shards.Add([]);
        long shardBytes = 0;
        foreach (TensorSpec tensor in tensors)
        {
            if (shardBytes > 0 && tensor.Bytes > maxShardBytes - shardBytes)
            {
                _shards.Add([]);
                shardBytes = 0;
            }
            _shards[^1].Add(tensor);
            shardBytes = checked(shardBytes + tensor.Bytes);
            _totalBytes = checked(_totalBytes + tensor.Bytes);
            if (!_shardOf.TryAdd(tensor.Name, _shards.Count - 1)) throw new LowbitException($"{folder}: the tensor name '{tensor.Name}' is taken; names must differ.");
        }
    }

    /// <inheritdoc cref="TensorWriter.Write(string, ReadOnlySpan{byte})"/>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* pointer = bytes) Write(name, pointer, bytes.Length);
    }

    /// <inheritdoc cref="TensorWriter.Write(string, byte*, long)"/>
    public void Write(string name, byte* bytes, long count)
    {
        if (!_shardOf.TryGetValue(name, out int shard)) throw new InvalidOperationException($"{name} was not promised");
        OpenTo(shard);
        _writers[shard].Write(name, bytes, count);
    }

    /// <summary>Gives all files their names, the index last.</summary>
    /// <exception cref="InvalidOperationException">Promised bytes are missing.</exception>
    /// <exception cref="LowbitException">The disk is full or a name cannot be taken.</exception>
    public void Commit()
    {
        OpenTo(_shards.Count - 1);
        foreach (SafetensorsWriter writer in _writers) writer.CheckComplete();
        foreach (SafetensorsWriter writer in _writers) writer.Commit();
        if (_shards.Count > 1) WriteIndex();
    }

    /// <summary>Without <see cref="Commit"/> leaves nothing behind.</summary>
    public void Dispose()
    {
        foreach (SafetensorsWriter writer in _writers) writer.Dispose();
    }

    private void OpenTo(int shard)
    {
        while (_writers.Count <= shard)
            _writers.Add(new SafetensorsWriter(Path.Combine(_folder, FileName(_writers.Count)), _shards[_writers.Count], _metadata));
    }

    private string FileName(int shard) => _shards.Count == 1
        ? "model.safetensors"
        : string.Create(CultureInfo.InvariantCulture, $"model-{shard + 1:D5}-of-{_shards.Count:D5}.safetensors");

    private void WriteIndex()
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", _totalBytes);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            foreach ((string name, int shard) in _shardOf) json.WriteString(name, FileName(shard));
            json.WriteEndObject();
            json.WriteEndObject();
        }
        using AtomicFile file = new(Path.Combine(_folder, "model.safetensors.index.json"));
        file.Write(stream.GetBuffer().AsSpan(0, (int)stream.Length));
        file.Commit();
    }
}
