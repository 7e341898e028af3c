using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Text.Unicode;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>A value inside of a JSON file, with its place, so that every complaint can name it.</summary>
/// <param name="File">Path of the file.</param>
/// <param name="Path">Place in the file, such as <c>model.vocab</c>.</param>
/// <param name="Element">The value; undefined where the file has none.</param>
/// <param name="Index">Index in an array at that place, or -1.</param>
internal readonly record struct JsonFile(string File, string Path, JsonElement Element, int Index = -1)
{
    private const long LargestFile = 1 << 28;

    /// <summary>Reads and parses.</summary>
    /// <exception cref="LowbitException">The file is not there, too large or no JSON.</exception>
    public static JsonFile Read(string file)
    {
        byte[] bytes = FileBytes.Read(file, LargestFile);
        if (!Utf8.IsValid(bytes)) throw new LowbitFormatException(file, "it is no valid UTF-8; get it again.");
        try
        {
            return new JsonFile(file, "", JsonElement.Parse(bytes));
        }
        catch (JsonException e)
        {
            throw new LowbitFormatException(file, $"it is no valid JSON: {e.Message} Get it again.", e);
        }
    }

    private string Place => Index < 0 ? Path : $"{Path}[{Index}]";

    /// <summary>Whether there is a value other than null.</summary>
    public bool Exists => Element.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.Null);

    /// <summary>A member of an object; of anything else, nothing.</summary>
    public JsonFile this[string name] =>
        new(File, Path.Length == 0 ? name : $"{Place}.{name}", Element.ValueKind == JsonValueKind.Object && Element.TryGetProperty(name, out JsonElement value) ? value : default);

    /// <summary>The elements of an array; none where there is no value.</summary>
    public IEnumerable<JsonFile> Items()
    {
        if (!Exists) yield break;
        if (Element.ValueKind != JsonValueKind.Array) throw Bad("an array");
        int i = 0;
        string path = Place;
        foreach (JsonElement item in Element.EnumerateArray()) yield return new JsonFile(File, path, item, i++);
    }

    /// <summary>The members of an object; none where there is no value.</summary>
    public IEnumerable<(string Name, JsonFile Value)> Members()
    {
        if (!Exists) yield break;
        if (Element.ValueKind != JsonValueKind.Object) throw Bad("an object");
        foreach (JsonProperty member in Element.EnumerateObject()) yield return (NameOf(member), new JsonFile(File, Path, member.Value));
    }

    /// <summary>A text that must be there.</summary>
    public string Text()
    {
        if (Element.ValueKind != JsonValueKind.String) throw Bad("a string");
        try
        {
            return Element.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new LowbitFormatException(File, $"{Place} has an escape that is no Unicode; get the file again.", e);
        }
    }

    /// <summary>A text, or null where there is none.</summary>
    public string? OptionalText() => Exists ? Text() : null;

    /// <summary>A truth value, or the default where there is none.</summary>
    public bool Flag(bool otherwise) => Element.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Undefined or JsonValueKind.Null => otherwise,
        _ => throw Bad("true or false"),
    };

    /// <summary>An id or a count.</summary>
    public int Id()
    {
        if (Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out int id) && id is >= 0 and < TokenList.LargestSize) return id;
        throw Bad($"an integer from 0 to {TokenList.LargestSize - 1}");
    }

    /// <summary>A real number.</summary>
    public float Number() => Element.ValueKind == JsonValueKind.Number && Element.TryGetSingle(out float value) ? value : throw Bad("a number");

    /// <summary>The exception for a value that is not what it should be.</summary>
    public LowbitFormatException Bad(string expected)
    {
        string found = Element.ValueKind == JsonValueKind.Undefined ? "missing" : Element.GetRawText();
        if (found.Length > 60) found = found[..60] + "…";
        return new LowbitFormatException(File, $"{(Path.Length == 0 ? "the whole" : Place)} is {found} where {expected} is expected; get the file again.");
    }

    private string NameOf(JsonProperty member)
    {
        try
        {
            return member.Name;
        }
        catch (InvalidOperationException e)
        {
            throw new LowbitFormatException(File, $"a name in {Place} has an escape that is no Unicode; get the file again.", e);
        }
    }
}

/// <summary>Whole small files.</summary>
internal static class FileBytes
{
    /// <summary>Reads a file of limited size.</summary>
    /// <exception cref="LowbitException">It is not there, cannot be read or is too large.</exception>
    public static byte[] Read(string file, long most)
    {
        try
        {
            long length = new FileInfo(file).Length;
            if (length > most) throw new LowbitFormatException(file, $"it has {length} bytes where a tokenizer has at most {most}; get it again.");
            return File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new LowbitException($"{file}: there is no such file.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{file}: the file cannot be read: {e.Message}", e);
        }
    }
}
