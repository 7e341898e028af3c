using System;
using System.Text.Json;
using System.Text.Unicode;

namespace Lowbit.Core;

/// <summary>JSON files beside the weights.</summary>
public static class JsonFile
{
    private const int LargestConfiguration = 1 << 24;

    /// <summary>Reads a whole file whose texts are all well-formed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="maximumBytes">No such file has more.</param>
    /// <exception cref="LowbitFormatException">The file is too large or not JSON.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static JsonElement Read(string path, int maximumBytes)
    {
        using MappedFile file = WholeFile.Map(path, maximumBytes);
        ReadOnlySpan<byte> bytes = WholeFile.Bytes(file);
        if (!Utf8.IsValid(bytes)) throw new LowbitFormatException(path, "this is not valid JSON: it is no UTF-8; the file is damaged, get it again.");
        try
        {
            JsonElement root = JsonElement.Parse(bytes);
            // The parser leaves escapes unchecked until a text is asked for, which would then be somewhere far away.
            if (bytes.IndexOf("\\u"u8) >= 0) CheckTexts(root);
            return root;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new LowbitFormatException(path, $"this is not valid JSON: {e.Message.TrimEnd('.')}; the file is damaged, get it again.", e);
        }
    }

    /// <summary>Reads a whole file that holds an object, as configurations do.</summary>
    /// <param name="path">The file.</param>
    /// <param name="maximumBytes">No such file has more.</param>
    /// <exception cref="LowbitFormatException">The file is too large, not JSON, or holds something else.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    public static JsonElement ReadObject(string path, int maximumBytes = LargestConfiguration)
    {
        JsonElement root = Read(path, maximumBytes);
        return root.ValueKind == JsonValueKind.Object ? root
            : throw new LowbitFormatException(path, $"the file holds JSON of kind {root.ValueKind}, expected an object; it is damaged, get it again.");
    }

    private static void CheckTexts(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                _ = element.GetString();
                break;
            case JsonValueKind.Array:
                foreach (JsonElement item in element.EnumerateArray()) CheckTexts(item);
                break;
            case JsonValueKind.Object:
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    _ = property.Name;
                    CheckTexts(property.Value);
                }
                break;
        }
    }
}
