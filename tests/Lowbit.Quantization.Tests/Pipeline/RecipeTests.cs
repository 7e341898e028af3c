using System;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Lowbit.Quantization.Pipeline;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Quantization.Tests.Pipeline;

public sealed class RecipeTests
{
    [Fact]
    public void TheFirstRuleThatFitsCounts()
    {
        Recipe recipe = Parse("""
            { "rules": [
              { "match": "*.layers.?.mlp.*", "method": "gptq", "options": { "bits": 3, "symmetric": true } },
              { "match": "*.mlp.*", "method": "keep" },
              { "match": "lm_head", "method": "rtn", "options": { "bits": "8" } } ] }
            """);
        Assert.Equal(new GptqOptions { Bits = 3, Symmetric = true, ScalePrecision = ScalePrecision.Float16 }, recipe.Find("model.layers.1.mlp.up_proj")!.Options);
        RecipeRule kept = recipe.Find("model.layers.12.mlp.up_proj")!;
        Assert.Equal(Recipe.Keep, kept.Method);
        Assert.Null(kept.Options);
        Assert.Equal(8, Assert.IsType<RtnOptions>(recipe.Find("lm_head")!.Options).Bits);
        Assert.Null(recipe.Find("model.layers.1.self_attn.q_proj"));
        Assert.Null(recipe.Find("LM_HEAD"));
    }

    [Theory]
    [InlineData("""{ "rules": [ { "match": "*", "method": "rtn", "options": { "bits": 3, "bits": 4 } } ] }""")]
    [InlineData("""{ "rules": [ { "match": "\ud800", "method": "rtn" } ] }""")]
    [InlineData("""{ "rules": [ { "match": "*", "method": "\ud800" } ] }""")]
    [InlineData("""{ "rules": [ { "match": "*", "method": "rtn", "options": { "\ud800": 3 } } ] }""")]
    [InlineData("""{ "rules": [ { "match": "*", "method": "rtn", "options": { "bits": "\ud800" } } ] }""")]
    [InlineData("""{ "\ud800": 1 }""")]
    public void NamesThatAreNoneOrAreThereTwiceAreRefused(string json) => Assert.Throws<LowbitFormatException>(() => Parse(json));

    [Fact]
    public void MutatedRecipesAreReadOrRefused()
    {
        byte[] valid = """{ "$schema": "s", "rules": [ { "match": "*.q", "method": "pb-gptq", "options": { "salient": 0.25, "saliency": "hessian" } }, { "match": "*", "method": "keep" } ] }"""u8.ToArray();
        int read = 0, refused = 0;
        foreach (byte[] mutation in Mutations.Of(valid, seed: 4, count: 2000))
        {
            try
            {
                Recipe.Parse("recipe.json", mutation, ScalePrecision.Float16).Find("a.q");
                read++;
            }
            catch (LowbitException)
            {
                refused++;
            }
        }
        Assert.True(read > 0 && refused > 500, $"{read} read, {refused} refused");
    }

    [Fact]
    public void WhatIsWrittenIsReadAgain()
    {
        Recipe recipe = Recipe.Parse("file", File.ReadAllBytes(Path.Combine(Docs(), "recipes", "binary-but-attention.json")), ScalePrecision.Float16);
        Assert.Equal(recipe.ToString(), Parse(recipe.ToJson().ToJsonString()).ToString());
    }

    [Fact]
    public void ExamplesSatisfyTheSchemaAndAreRead()
    {
        JsonElement schema = Schema();
        string[] examples = Directory.GetFiles(Path.Combine(Docs(), "recipes"), "*.json");
        Assert.True(examples.Length >= 2, "no examples");
        foreach (string example in examples)
        {
            Assert.Null(JsonSchema.Violation(schema, JsonDocument.Parse(File.ReadAllBytes(example)).RootElement));
            Assert.NotEmpty(Recipe.Read(example, ScalePrecision.Float32).Rules);
        }
    }

    [Theory]
    [InlineData("[]", "the file is []")]
    [InlineData("{}", "\"rules\"")]
    [InlineData("{ \"rules\": [] }", "\"rules\"")]
    [InlineData("{ \"rules\": [], \"extra\": 1 }", "\"extra\"")]
    [InlineData("{ \"rules\": [ 1 ] }", "rules[0] is 1")]
    [InlineData("{ \"rules\": [ { \"match\": \"*\" } ] }", "rules[0].method is missing")]
    [InlineData("{ \"rules\": [ { \"match\": \"\", \"method\": \"rtn\" } ] }", "rules[0].match is \"\"")]
    [InlineData("{ \"rules\": [ { \"match\": \"*\", \"method\": \"rtn\", \"bits\": 3 } ] }", "rules[0] has \"bits\"")]
    [InlineData("{ \"rules\": [ { \"match\": \"*\", \"method\": \"rtn\", \"options\": { \"bits\": [3] } } ] }", "rules[0].options.bits is [3]")]
    public void WhatTheSchemaForbidsIsRefusedByPlace(string json, string place)
    {
        Assert.NotNull(JsonSchema.Violation(Schema(), JsonDocument.Parse(json).RootElement));
        LowbitException error = Assert.Throws<LowbitFormatException>(() => Parse(json));
        Assert.StartsWith("recipe.json: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(place, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{ \"match\": \"*\", \"method\": \"none\" }", "--method")]
    [InlineData("{ \"match\": \"*\", \"method\": \"rtn\", \"options\": { \"bits\": 99 } }", "--bits: 99")]
    [InlineData("{ \"match\": \"*\", \"method\": \"rtn\", \"options\": { \"salient\": 0.1 } }", "--salient")]
    [InlineData("{ \"match\": \"*\", \"method\": \"rtn\", \"options\": { \"repair-rank\": 0 } }", "--repair-rank: 0")]
    [InlineData("{ \"match\": \"*\", \"method\": \"rtn\", \"options\": { \"bits\": 99, \"repair\": \"svd\" } }", "--bits: 99")]
    [InlineData("{ \"match\": \"*\", \"method\": \"keep\", \"options\": { \"bits\": 4 } }", "kept")]
    public void WhatAMethodDoesNotTakeIsRefused(string rule, string found)
    {
        LowbitException error = Assert.Throws<LowbitFormatException>(() => Parse($$"""{ "rules": [ { "match": "x", "method": "rtn" }, {{rule}} ] }"""));
        Assert.Contains("rules[1]", error.Message, StringComparison.Ordinal);
        Assert.Contains(found, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NoJsonIsSaidSoWithTheLine()
    {
        LowbitException error = Assert.Throws<LowbitFormatException>(() => Parse("{\n \"rules\": oops }"));
        Assert.Contains("line 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileThatIsTooLargeIsRefusedBehindALinkToo()
    {
        using TemporaryFolder folder = new();
        string file = folder.File("recipe.json"), link = folder.File("link.json");
        File.CreateSymbolicLink(link, file);
        File.WriteAllText(file, """{ "rules": [ { "match": "*", "method": "rtn" } ] }""");
        Assert.Equal("rtn", Recipe.Read(link, ScalePrecision.Float16).Find("a")!.Method);
        File.AppendAllText(file, new string(' ', 1 << 24));
        foreach (string path in (string[])[file, link])
            Assert.Contains("which no recipe has", Assert.Throws<LowbitFormatException>(() => Recipe.Read(path, ScalePrecision.Float16)).Message, StringComparison.Ordinal);
    }

    private static Recipe Parse(string json) => Recipe.Parse("recipe.json", Encoding.UTF8.GetBytes(json), ScalePrecision.Float16);

    private static JsonElement Schema() => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Docs(), "formats", "recipe.schema.json"))).RootElement;

    private static string Docs() => Path.Combine(Shared.Repository, "docs");
}

/// <summary>As much of JSON Schema as our schemas use.</summary>
internal static class JsonSchema
{
    /// <summary>The first thing that the schema forbids, or null.</summary>
    public static string? Violation(JsonElement schema, JsonElement value, string place = "$")
    {
        if (schema.TryGetProperty("type", out JsonElement type) && !Types(type).Any(name => Is(value, name))) return $"{place} is {value.ValueKind}";
        if (schema.TryGetProperty("minLength", out JsonElement length) && value.GetString()!.Length < length.GetInt32()) return $"{place} is too short";
        if (value.ValueKind == JsonValueKind.Array)
        {
            if (schema.TryGetProperty("minItems", out JsonElement items) && value.GetArrayLength() < items.GetInt32()) return $"{place} has too few items";
            return schema.TryGetProperty("items", out JsonElement item) ? value.EnumerateArray().Select((v, i) => Violation(item, v, $"{place}[{i}]")).FirstOrDefault(found => found is not null) : null;
        }
        if (value.ValueKind != JsonValueKind.Object) return null;
        if (schema.TryGetProperty("required", out JsonElement required))
        {
            foreach (JsonElement name in required.EnumerateArray())
                if (!value.TryGetProperty(name.GetString()!, out _)) return $"{place}.{name} is missing";
        }
        foreach (JsonProperty member in value.EnumerateObject())
        {
            string inner = $"{place}.{member.Name}";
            if (schema.TryGetProperty("properties", out JsonElement known) && known.TryGetProperty(member.Name, out JsonElement own))
            {
                if (Violation(own, member.Value, inner) is { } found) return found;
            }
            else if (schema.TryGetProperty("additionalProperties", out JsonElement others))
            {
                if (others.ValueKind == JsonValueKind.False) return $"{inner} is unknown";
                if (Violation(others, member.Value, inner) is { } found) return found;
            }
        }
        return null;
    }

    private static string[] Types(JsonElement type) => type.ValueKind == JsonValueKind.Array ? [.. type.EnumerateArray().Select(name => name.GetString()!)] : [type.GetString()!];

    private static bool Is(JsonElement value, string type) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "number" => value.ValueKind == JsonValueKind.Number,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        _ => throw new ArgumentException(type),
    };
}
