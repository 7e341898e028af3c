using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>Finds the tokenizer in a model folder, and what the configuration beside it adds.</summary>
internal static class TokenizerFolder
{
    private const int LargestTemplate = 1 << 22;

    /// <summary>Reads the tokenizer of a folder or file.</summary>
    /// <exception cref="LowbitException">There is none, or it is damaged or of an unsupported kind.</exception>
    public static Tokenizer Read(string path)
    {
        string file = Directory.Exists(path) ? FindIn(path) : path;
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        TokenizerParts parts = Path.GetFileName(file) switch
        {
            "vocab.json" => BytePairFiles.ReadGpt2(file, Path.Combine(folder, "merges.txt")),
            var name when name.EndsWith(".json", StringComparison.Ordinal) => HuggingFaceTokenizer.Read(file),
            _ => SentencePieceTokenizer.Read(file),
        };
        return new Tokenizer(Configure(parts, folder));
    }

    private static string FindIn(string folder)
    {
        string[] names = ["tokenizer.json", "vocab.json", "tokenizer.model"];
        return names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
            ?? throw new LowbitException($"{folder}: there is no tokenizer; put tokenizer.json, vocab.json with merges.txt, or tokenizer.model there.");
    }

    private static TokenizerParts Configure(TokenizerParts parts, string folder)
    {
        string configFile = Path.Combine(folder, "tokenizer_config.json"), templateFile = Path.Combine(folder, "chat_template.jinja");
        string? template = null;
        if (File.Exists(configFile))
        {
            JsonValue config = JsonValue.Read(configFile);
            parts = parts with { BeginId = IdOf(config["bos_token"], parts) ?? parts.BeginId };
            if (IdOf(config["eos_token"], parts) is int end) parts = parts with { EndIds = [end, .. parts.EndIds] };
            parts = parts with
            {
                Prefix = With(parts.Prefix, parts.BeginId, config["add_bos_token"], first: true),
                SingleLeadingBlank = config["tokenizer_class"].OptionalText() is "LlamaTokenizer" or "LlamaTokenizerFast" && !config["legacy"].Flag(true),
                Suffix = With(parts.Suffix, parts.EndIds.Count > 0 ? parts.EndIds[0] : null, config["add_eos_token"], first: false),
            };
            template = TemplateOf(config["chat_template"]);
        }
        if (parts.BeginId is null && parts.Prefix.Count > 0) parts = parts with { BeginId = parts.Prefix[0] };
        if (File.Exists(templateFile)) template = Encoding.UTF8.GetString(WholeFile.Read(templateFile, LargestTemplate));
        return parts with { EndIds = [.. parts.EndIds, .. GenerationEnds(Path.Combine(folder, "generation_config.json"))], ChatTemplate = template };
    }

    /// <summary>Adds or removes the token where the configuration says so; otherwise the post-processor decides.</summary>
    private static IReadOnlyList<int> With(IReadOnlyList<int> ids, int? token, JsonValue flag, bool first)
    {
        if (!flag.Exists || token is not int id || flag.Flag(false) == ids.Contains(id)) return ids;
        if (ids.Contains(id)) return [.. ids.Where(other => other != id)];
        return first ? [id, .. ids] : [.. ids, id];
    }

    private static int? IdOf(JsonValue token, TokenizerParts parts)
    {
        if (!token.Exists) return null;
        string content = token["content"].Exists ? token["content"].Text() : token.Text();
        if (parts.Added.FirstOrDefault(added => added.Content == content) is { } found) return found.Id;
        return parts.Model.Vocabulary.Find(Encoding.UTF8.GetBytes(content)) is >= 0 and int id ? id : null;
    }

    /// <summary>A template, or of several named ones the default; null where none is the default.</summary>
    private static string? TemplateOf(JsonValue template)
    {
        if (template.Element.ValueKind != System.Text.Json.JsonValueKind.Array) return template.OptionalText();
        foreach (JsonValue named in template.Items())
        {
            if (named["name"].OptionalText() == "default") return named["template"].OptionalText();
        }
        return null;
    }

    private static IEnumerable<int> GenerationEnds(string file)
    {
        if (!File.Exists(file)) return [];
        JsonValue ends = JsonValue.Read(file)["eos_token_id"];
        if (!ends.Exists) return [];
        return ends.Element.ValueKind == System.Text.Json.JsonValueKind.Array ? [.. ends.Items().Select(id => id.Id())] : [ends.Id()];
    }
}
