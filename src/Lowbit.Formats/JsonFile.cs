using System;
using System.Text.Json;
using Lowbit.Core;

namespace Lowbit.Formats;

/// <summary>Small JSON files beside the weights.</summary>
internal static class JsonFile
{
    /// <summary>Reads a whole file whose texts are all well-formed.</summary>
    /// <exception cref="LowbitFormatException">The file is too large or not JSON.</exception>
    /// <exception cref="LowbitException">The file is not there or cannot be read.</exception>
    internal static JsonElement Read(string path, int maximumBytes)
    {
        using MappedFile file = new(path);
        if (file.Length > maximumBytes) throw new LowbitFormatException(path, $"the file has {file.Length} bytes, expected JSON of at most {maximumBytes}.");
        try
        {
            using JsonDocument document = JsonDocument.Parse(file.Span(0, (int)file.Length).ToArray());
            CheckTexts(document.RootElement);
            return document.RootElement.Clone();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new LowbitFormatException(path, $"this is not valid JSON: {e.Message.TrimEnd('.')}; the file is damaged, get it again.", e);
        }
    }

    // The parser leaves escapes and UTF-8 unchecked until a text is asked for, which would then be somewhere far away.
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
