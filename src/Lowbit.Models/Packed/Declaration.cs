using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Models.Architectures;

namespace Lowbit.Models;

/// <summary>An entry of <c>quantization_config.tensors</c> with the tensors that it speaks of.</summary>
/// <param name="entry">The entry.</param>
/// <param name="name">Name of the matrix.</param>
/// <param name="file">The file with the tensors, for messages.</param>
/// <param name="find">Finds a tensor by its full name; null where there is none.</param>
/// <param name="rows">Output features that are expected.</param>
/// <param name="columns">Input features that are expected.</param>
internal sealed class Declaration(ConfigReader entry, string name, string file, Func<string, Tensor?> find, int rows, int columns)
{
    /// <summary>Name of the matrix.</summary>
    public string Name { get; } = name;

    /// <summary>The file with the tensors, for messages.</summary>
    public string File { get; } = file;

    /// <summary>The entry.</summary>
    public ConfigReader Entry { get; } = entry;

    /// <summary>Name of the layout.</summary>
    public string Format => Entry.Text("format");

    /// <summary>Output features, as declared and expected.</summary>
    public int Rows { get; } = Declared(entry, name, "rows", rows);

    /// <summary>Input features, as declared and expected.</summary>
    public int Columns { get; } = Declared(entry, name, "columns", columns);

    /// <summary>A whole number whose range the layout itself checks.</summary>
    public int Number(string key) => Entry.Integers(key) is [int number] ? number : throw Entry.Wrong(key, "a whole number");

    /// <summary>A value by its name in the file.</summary>
    public T Named<T>(string key, params (string Name, T Value)[] values)
    {
        string found = Entry.Text(key);
        foreach ((string name, T value) in values)
        {
            if (name == found) return value;
        }
        throw Entry.Wrong(key, string.Join(" or ", values.Select(value => value.Name)));
    }

    /// <summary>The format of the scales.</summary>
    public ElementFormat ScaleFormat() => Named("scale_format", ("F16", ElementFormat.F16), ("F32", ElementFormat.F32));

    /// <summary>The tensors of the matrix that are there, by their endings.</summary>
    public Dictionary<string, Tensor> Parts(IEnumerable<string> suffixes)
    {
        Dictionary<string, Tensor> parts = [];
        foreach (string suffix in suffixes)
        {
            if (find($"{Name}.{suffix}") is { } part) parts[suffix] = part;
        }
        return parts;
    }

    /// <summary>An entry within this one.</summary>
    /// <param name="number">Its number, which is appended to the name.</param>
    /// <param name="inner">The entry.</param>
    /// <param name="columns">Input features that are expected.</param>
    public Declaration Inner(int number, ConfigReader inner, int columns) => new(inner, $"{Name}.{number}", File, find, Rows, columns);

    private static int Declared(ConfigReader entry, string name, string key, int expected)
    {
        int declared = entry.Size(key);
        return declared == expected ? declared
            : throw new LowbitFormatException(entry.Path, $"\"quantization_config\" declares {declared} {key} for {name}; expected {expected} by the model's configuration.");
    }
}
