using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats.Gguf;
using Lowbit.Formats.Llama2C;
using Lowbit.Formats.Safetensors;

namespace Lowbit.Formats;

/// <summary>Decides which files a path given by the user means.</summary>
internal static class CheckpointFinder
{
    private const string SingleFile = "model.safetensors", IndexFile = "model.safetensors.index.json", ConfigFile = "config.json";

    internal static Checkpoint Open(string path)
    {
        if (Directory.Exists(path)) return OpenFolder(path);
        if (!File.Exists(path)) throw new LowbitException($"{path}: there is no such file or folder; give a Hugging Face folder, a GGUF file or a llama2.c .bin file.");
        string name = Path.GetFileName(path);
        return Path.GetExtension(name).ToLowerInvariant() switch
        {
            ".gguf" => OpenGguf(path, path),
            ".bin" => OpenBin(path),
            ".safetensors" when IsShard(name) =>
                throw new LowbitException($"{path}: this is one of several shards of a model; give the folder or the {IndexFile} in it."),
            ".safetensors" => OpenSafetensors(path, path),
            ".json" when name.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase) => OpenSharded(path, path),
            _ => throw new LowbitException($"{path}: the ending is not of a model; expected .gguf, .safetensors, .safetensors.index.json or .bin (llama2.c), or a folder."),
        };
    }

    private static Checkpoint OpenFolder(string folder)
    {
        string[] safetensors = Names(folder, "*.safetensors"), gguf = Names(folder, "*.gguf");
        if (safetensors.Contains(SingleFile)) return OpenSafetensors(folder, Path.Combine(folder, SingleFile));
        if (File.Exists(Path.Combine(folder, IndexFile))) return OpenSharded(folder, Path.Combine(folder, IndexFile));
        if (safetensors.Length == 1 && !IsShard(safetensors[0])) return OpenSafetensors(folder, Path.Combine(folder, safetensors[0]));
        if (safetensors.Length > 0) throw new LowbitException($"{folder}: there are {safetensors.Length} .safetensors files but no {IndexFile}; get the index too, or name one file.");
        if (gguf.Length == 1) return OpenGguf(folder, Path.Combine(folder, gguf[0]));
        if (gguf.Length > 1) throw new LowbitException($"{folder}: there are {gguf.Length} .gguf files, such as {gguf[0]} and {gguf[1]}; name one of them.");
        if (Names(folder, "*.bin") is [string bin, ..])
        {
            CheckNoPickle(Path.Combine(folder, bin));
            throw new LowbitException($"{folder}: there is neither {SingleFile} nor a .gguf file; if {bin} is a llama2.c model, name that file.");
        }
        throw new LowbitException($"{folder}: the folder has no model; expected {ConfigFile} with {SingleFile} (or {IndexFile}), or a .gguf file.");
    }

    /// <summary>Whether a name is that of one of several parts, as in model-00001-of-00003.safetensors.</summary>
    private static bool IsShard(string name) =>
        Path.GetFileNameWithoutExtension(name).Split('-') is [_, .., { Length: 5 } number, "of", { Length: 5 } count] && number.All(char.IsAsciiDigit) && count.All(char.IsAsciiDigit);

    private static string[] Names(string folder, string pattern)
    {
        try
        {
            return [.. Directory.EnumerateFiles(folder, pattern).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{folder}: the folder cannot be read: {e.Message}", e);
        }
    }

    private static Checkpoint OpenSafetensors(string path, string file)
    {
        JsonElement config = ReadConfig(file);
        return new Checkpoint(path, SafetensorsFile.Open(file), config);
    }

    private static Checkpoint OpenSharded(string path, string index)
    {
        JsonElement config = ReadConfig(index);
        return new Checkpoint(path, ShardedSafetensors.Open(index), config);
    }

    private static JsonElement ReadConfig(string weights)
    {
        string path = Path.Combine(Path.GetDirectoryName(weights) ?? "", ConfigFile);
        if (!File.Exists(path)) throw new LowbitException($"{path}: the file is missing; it describes the model in {Path.GetFileName(weights)} and must lie beside it.");
        return JsonFile.ReadObject(path);
    }

    private static Checkpoint OpenGguf(string path, string file)
    {
        GgufFile gguf = GgufFile.Open(file);
        try
        {
            int parts = gguf.GetInt32("split.count", 1);
            if (parts > 1) throw new LowbitException($"{file}: this is one of {parts} parts of a model; merge them first with 'llama-gguf-split --merge'.");
            return new Checkpoint(path, gguf);
        }
        catch
        {
            gguf.Dispose();
            throw;
        }
    }

    private static Checkpoint OpenBin(string path)
    {
        CheckNoPickle(path);
        return new Checkpoint(path, Llama2CFile.Open(path));
    }

    // PyTorch writes zip archives since 1.6 and bare pickles (0x80, protocol, opcode) before; both can run code when loaded.
    // A llama2.c model 640 wide begins with 0x80, 2 too, but has zeros there.
    private static void CheckNoPickle(string path)
    {
        using MappedFile file = new(path);
        if (file.Length < 4) return;
        ReadOnlySpan<byte> start = file.Span(0, 4);
        if (start.SequenceEqual("PK\u0003\u0004"u8) || (start[0] == 0x80 && start[1] is >= 2 and <= 5 && start[2] != 0))
            throw new LowbitException($"{path}: this is a PyTorch pickle, which is not read because it can run code; convert the model to safetensors.");
    }
}
