using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.IO;
using System.IO.Enumeration;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What becomes of the linears whose names fit a pattern.</summary>
/// <param name="Match">A name, in which * stands for any characters and ? for one.</param>
/// <param name="Method">Name of the method, or <see cref="Recipe.Keep"/>.</param>
/// <param name="Settings">The method's settings by their names on the command line without dashes.</param>
/// <param name="Options">The same, checked; null to keep the linear as it is.</param>
public sealed record RecipeRule(string Match, string Method, ImmutableSortedDictionary<string, string> Settings, MethodOptions? Options);

/// <summary>
/// Methods and settings by names of linears; of several patterns that fit, the first counts. A file of its own, whose
/// schema is docs/formats/recipe.schema.json.
/// </summary>
public sealed class Recipe
{
    /// <summary>Stands in the place of a method for a linear that stays as it is.</summary>
    public const string Keep = "keep";

    private const int LargestFile = 1 << 24;

    /// <summary>Takes rules as they are.</summary>
    public Recipe(ImmutableArray<RecipeRule> rules) => Rules = rules;

    /// <summary>The rules; the first that fits counts.</summary>
    public ImmutableArray<RecipeRule> Rules { get; }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="precision">Precision of scales and means of all methods.</param>
    /// <exception cref="LowbitException">The file is not there, is no JSON or no recipe; the message names the place in it.</exception>
    public static Recipe Read(string path, ScalePrecision precision)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            byte[] json = new byte[LargestFile + 1];
            int count = file.ReadAtLeast(json, json.Length, throwOnEndOfStream: false);
            return count <= LargestFile ? Parse(path, json.AsMemory(0, count), precision)
                : throw new LowbitFormatException(path, $"the file has more than {LargestFile} bytes, which no recipe has; give another with --recipe.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{path}: the recipe cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Reads the bytes of a file.</summary>
    /// <param name="path">What messages call the file.</param>
    /// <param name="json">UTF-8.</param>
    /// <param name="precision">Precision of scales and means of all methods.</param>
    /// <exception cref="LowbitException">The bytes are no recipe; the message names the place in it.</exception>
    public static Recipe Parse(string path, ReadOnlyMemory<byte> json, ScalePrecision precision)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            JsonElement root = Object(path, document.RootElement, "the file", "$schema", "rules");
            if (!root.TryGetProperty("rules", out JsonElement rules) || rules.ValueKind != JsonValueKind.Array || rules.GetArrayLength() == 0)
                throw new LowbitFormatException(path, "\"rules\" is missing, empty or no array; expected at least one rule, such as { \"match\": \"*\", \"method\": \"rtn\" }.");
            return new Recipe([.. rules.EnumerateArray().Select((rule, i) => Rule(path, rule, $"rules[{i}]", precision))]);
        }
        catch (JsonException e)
        {
            throw new LowbitFormatException(path, $"line {e.LineNumber + 1} is no JSON ({e.Message.Split(". ")[0]}); expected an object with \"rules\".", e);
        }
        catch (InvalidOperationException e) // what the parser throws when the text is taken
        {
            throw new LowbitFormatException(path, "a text in it is no Unicode; write it anew in UTF-8.", e);
        }
    }

    /// <summary>The first rule that fits a name, or null.</summary>
    /// <param name="name">Name of a linear without ending, as the written folder has it.</param>
    public RecipeRule? Find(string name) => Rules.FirstOrDefault(rule => FileSystemName.MatchesSimpleExpression(rule.Match, name, ignoreCase: false));

    /// <summary>The recipe as a file has it.</summary>
    public JsonObject ToJson()
    {
        JsonArray rules = [];
        foreach (RecipeRule rule in Rules)
        {
            JsonObject json = new() { ["match"] = rule.Match, ["method"] = rule.Method };
            if (rule.Settings.Count > 0) json["options"] = new JsonObject(rule.Settings.Select(setting => KeyValuePair.Create(setting.Key, (JsonNode?)setting.Value)));
            rules.Add((JsonNode)json);
        }
        return new JsonObject { ["rules"] = rules };
    }

    /// <summary>Everything that decides what comes out, in one line.</summary>
    public override string ToString() => string.Join("; ", Rules.Select(rule => $"{rule.Match}: {rule.Method} {rule.Options}"));

    private static RecipeRule Rule(string path, JsonElement rule, string place, ScalePrecision precision)
    {
        Object(path, rule, place, "match", "method", "options");
        string match = Text(path, rule, place, "match"), method = Text(path, rule, place, "method");
        ImmutableSortedDictionary<string, string> settings = rule.TryGetProperty("options", out JsonElement options)
            ? Object(path, options, place + ".options").EnumerateObject().ToImmutableSortedDictionary(option => option.Name, option => Setting(path, option.Value, $"{place}.options.{option.Name}"))
            : ImmutableSortedDictionary<string, string>.Empty;
        try
        {
            if (method == Keep) return settings.IsEmpty ? new RecipeRule(match, method, settings, null)
                : throw new LowbitException("a linear that is kept has no options; leave them out");
            MethodOptions checkedOptions = MethodRegistry.Find(method).Options(settings) with { ScalePrecision = precision };
            checkedOptions.Validate();
            return new RecipeRule(match, method, settings, checkedOptions);
        }
        catch (LowbitException e)
        {
            throw new LowbitFormatException(path, $"{place}: {e.Message}", e);
        }
    }

    // An object with no other members than these; any where none are named.
    private static JsonElement Object(string path, JsonElement value, string place, params string[] members)
    {
        if (value.ValueKind != JsonValueKind.Object) throw new LowbitFormatException(path, $"{place} is {Short(value)}; expected an object.");
        HashSet<string> seen = [];
        foreach (JsonProperty member in value.EnumerateObject())
        {
            if (!seen.Add(member.Name)) throw new LowbitFormatException(path, $"{place} has \"{member.Name}\" twice; leave one out.");
            if (members.Length > 0 && !members.Contains(member.Name))
                throw new LowbitFormatException(path, $"{place} has \"{member.Name}\", expected only {string.Join(", ", members.Where(name => name[0] != '$'))}; leave it out.");
        }
        return value;
    }

    private static string Text(string path, JsonElement rule, string place, string member) =>
        rule.TryGetProperty(member, out JsonElement value) && value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text ? text
            : throw new LowbitFormatException(path, $"{place}.{member} is {(value.ValueKind == JsonValueKind.Undefined ? "missing" : Short(value))}; expected a text.");

    private static string Setting(string path, JsonElement value, string place) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number => value.GetRawText(),
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        _ => throw new LowbitFormatException(path, $"{place} is {Short(value)}; expected a number, a text, true or false."),
    };

    private static string Short(JsonElement value)
    {
        string text = value.GetRawText();
        return text.Length <= 40 ? text : text[..40] + "...";
    }
}
