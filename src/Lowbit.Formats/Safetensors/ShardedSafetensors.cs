using System;
using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats.Safetensors;

/// <summary>A model whose tensors are spread over several safetensors files beside a <c>model.safetensors.index.json</c>.</summary>
public sealed class ShardedSafetensors : IDisposable
{
    private const int MaximumIndexBytes = SafetensorsHeader.MaximumBytes;

    private readonly List<SafetensorsFile> _shards = [];
    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    private ShardedSafetensors(string indexPath) => Path = indexPath;

    /// <summary>Path of the index, as the user gave it.</summary>
    public string Path { get; }

    /// <summary>The files, by name.</summary>
    public IReadOnlyList<SafetensorsFile> Shards => _shards;

    /// <summary>Tensors by name, shard after shard. They must not be used after <see cref="Dispose"/>.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>Opens the index and all its shards.</summary>
    /// <param name="indexPath">The index; its shards lie in the same folder.</param>
    /// <exception cref="LowbitFormatException">The index or a shard is damaged, or they do not fit each other.</exception>
    /// <exception cref="LowbitException">A file is not there or cannot be read.</exception>
    public static ShardedSafetensors Open(string indexPath)
    {
        ShardedSafetensors result = new(indexPath);
        try
        {
            result.Read();
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (SafetensorsFile shard in _shards) shard.Dispose();
    }

    private void Read()
    {
        Dictionary<string, string> shardOf = ReadWeightMap();
        string folder = System.IO.Path.GetDirectoryName(Path) ?? "";
        foreach (string name in new SortedSet<string>(shardOf.Values, StringComparer.Ordinal))
        {
            SafetensorsFile shard = SafetensorsFile.Open(System.IO.Path.Combine(folder, name));
            _shards.Add(shard);
            foreach (Tensor tensor in shard.Tensors.Values)
            {
                if (shardOf.TryGetValue(tensor.Name, out string? home) && home == name) _tensors.Add(tensor.Name, tensor);
            }
        }
        foreach ((string tensor, string shard) in shardOf)
        {
            if (!_tensors.ContainsKey(tensor)) throw new LowbitFormatException(Path, $"tensor {Quoted.Text(tensor)} should be in {Quoted.Text(shard)}, but is not there; the files are of different models, get them again.");
        }
    }

    private Dictionary<string, string> ReadWeightMap()
    {
        JsonElement root = JsonFile.Read(Path, MaximumIndexBytes);
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("weight_map", out JsonElement map) || map.ValueKind != JsonValueKind.Object)
            throw new LowbitFormatException(Path, "there is no 'weight_map' from tensors to files; the index is damaged, get it again.");
        Dictionary<string, string> shardOf = [];
        foreach (JsonProperty entry in map.EnumerateObject())
        {
            string? shard = entry.Value.ValueKind == JsonValueKind.String ? entry.Value.GetString() : null;
            // A name with a folder in it could point anywhere on the disk.
            if (string.IsNullOrEmpty(shard) || shard.AsSpan().ContainsAny("/\\:\0") || shard is "." or "..")
                throw new LowbitFormatException(Path, $"tensor {Quoted.Text(entry.Name)} is mapped to {Quoted.Text(entry.Value.GetRawText())}, expected the name of a file in the same folder.");
            if (!shardOf.TryAdd(entry.Name, shard)) throw new LowbitFormatException(Path, $"tensor {Quoted.Text(entry.Name)} is mapped twice; the index is damaged.");
        }
        return shardOf;
    }
}
