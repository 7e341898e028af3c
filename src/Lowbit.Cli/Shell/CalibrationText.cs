using System;
using System.Collections.Generic;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Text;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Models;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Shell;

/// <summary>Texts to calibrate with: a text file is one document; JSON lines, packed by gzip or not, are a document a line.</summary>
internal static class CalibrationText
{
    private static readonly string[] s_endings = [".txt", ".raw", ".json", ".jsonl", ".json.gz", ".jsonl.gz"];

    /// <summary>The files that a name stands for: one file, or those of a folder in the order of their names.</summary>
    /// <param name="name">A file, a folder, or the name of either in the folder that LOWBIT_DATA names.</param>
    /// <exception cref="LowbitException">The folder has no text.</exception>
    public static IEnumerable<string> Files(string name)
    {
        string path = name;
        if (!Path.Exists(path) && Environment.GetEnvironmentVariable("LOWBIT_DATA") is { Length: > 0 } data && Path.Exists(Path.Combine(data, name))) path = Path.Combine(data, name);
        if (!Directory.Exists(path)) return [path];
        string[] files = [.. Directory.EnumerateFiles(path).Where(file => s_endings.Any(ending => file.EndsWith(ending, StringComparison.OrdinalIgnoreCase))).Order(StringComparer.Ordinal)];
        return files.Length > 0 ? files : throw new LowbitException($"{path}: the folder has no text to calibrate with; expected files that end in {string.Join(", ", s_endings)}.");
    }

    /// <summary>All documents of some files in one row; where there are several, the model's end token, if it has one, stands between them.</summary>
    public static int[] Tokens(Tokenizer tokenizer, ModelConfig config, IEnumerable<string> files)
    {
        List<int> ids = [];
        foreach (string document in files.SelectMany(Documents))
        {
            if (ids.Count > 0 && !config.EndIds.IsEmpty) ids.Add(config.EndIds[0]);
            ids.AddRange(tokenizer.EncodePlain(document));
        }
        return [.. ids];
    }

    /// <summary>Whether a file is read as JSON lines.</summary>
    public static bool IsLines(string path)
    {
        string name = Unpacked(path);
        return name.EndsWith(".json", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase);
    }

    /// <param name="path">A file whose name ends in .json, .jsonl, .json.gz or .jsonl.gz, or any other one with plain text.</param>
    /// <exception cref="LowbitException">The file is not there or damaged.</exception>
    public static IEnumerable<string> Documents(string path) =>
        IsLines(path) ? Lines(path, isPacked: Unpacked(path) != path) : [TextFile.Read(path)];

    private static string Unpacked(string path) => path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? path[..^3] : path;

    private static List<string> Lines(string path, bool isPacked)
    {
        var documents = new List<string>();
        try
        {
            using Stream file = File.OpenRead(path);
            using Stream stream = isPacked ? new GZipStream(file, CompressionMode.Decompress) : file;
            using var reader = new StreamReader(stream, Encoding.UTF8);
            for (int number = 1; reader.ReadLine() is { } line; number++)
            {
                if (line.Length > 0) documents.Add(Text(line, path, number));
            }
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new LowbitException($"{path}: there is no such file.", e);
        }
        catch (InvalidDataException e)
        {
            throw new LowbitFormatException(path, "the gzip data are damaged; get the file again.", e);
        }
        return documents;
    }

    private static string Text(string line, string path, int number)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            if (json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("text", out JsonElement text) && text.ValueKind == JsonValueKind.String)
                return text.GetString()!;
        }
        catch (JsonException e)
        {
            throw new LowbitFormatException(path, $"line {number} is no JSON; expected an object with a \"text\" on every line.", e);
        }
        throw new LowbitFormatException(path, $"line {number} has no string \"text\"; expected an object with one on every line.");
    }
}
