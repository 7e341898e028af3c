using System.Collections.Generic;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>A value inside of a JSON file, with its place, so that every complaint can name it.</summary>
/// <param name="File">Path of the file.</param>
/// <param name="Path">Place in the file, such as <c>model.vocab</c>.</param>
/// <param name="Element">The value; undefined where the file has none.</param>
/// <param name="Index">Index in an array at that place, or -1.</param>
internal readonly record struct JsonValue(string File, string Path, JsonElement Element, int Index = -1)
{
    private const int LargestFile = 1 << 28;

    /// <summary>Reads a file that holds an object.</summary>
    /// <exception cref="LowbitException">The file is not there, too large or no such JSON.</exception>
    public static JsonValue Read(string file) => new(file, "", JsonFile.ReadObject(file, LargestFile));

    private string Place => Index < 0 ? Path : $"{Path}[{Index}]";

    /// <summary>Whether there is a value other than null.</summary>
    public bool Exists => Element.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.Null);

    /// <summary>A member of an object; of anything else, nothing.</summary>
    public JsonValue this[string name] =>
        new(File, Path.Length == 0 ? name : $"{Place}.{name}", Element.ValueKind == JsonValueKind.Object && Element.TryGetProperty(name, out JsonElement value) ? value : default);

    /// <summary>The elements of an array; none where there is no value.</summary>
    public IEnumerable<JsonValue> Items()
    {
        if (!Exists) yield break;
        if (Element.ValueKind != JsonValueKind.Array) throw Bad("an array");
        int i = 0;
        string path = Place;
        foreach (JsonElement item in Element.EnumerateArray()) yield return new JsonValue(File, path, item, i++);
    }

    /// <summary>The members of an object; none where there is no value.</summary>
    public IEnumerable<(string Name, JsonValue Value)> Members()
    {
        if (!Exists) yield break;
        if (Element.ValueKind != JsonValueKind.Object) throw Bad("an object");
        foreach (JsonProperty member in Element.EnumerateObject()) yield return (member.Name, new JsonValue(File, Path, member.Value));
    }

    /// <summary>A text that must be there.</summary>
    public string Text() => Element.ValueKind == JsonValueKind.String ? Element.GetString()! : throw Bad("a string");

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
}
