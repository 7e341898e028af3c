using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers.Files;

/// <summary>Reads <c>tokenizer.json</c>, the file of Hugging Face tokenizers: a list of steps, each with its type.</summary>
internal static class HuggingFaceTokenizer
{
    private const int DeepestSequence = 16;

    /// <summary>Reads the file; begin, end and template are in other files.</summary>
    /// <exception cref="LowbitException">The file is damaged or asks for a step that is not supported.</exception>
    public static TokenizerParts Read(string file)
    {
        JsonValue root = JsonValue.Read(file);
        List<AddedToken> added = [.. root["added_tokens"].Items().Select(ReadAdded)];
        List<NormalizationStep> normalization = [];
        AddNormalization(root["normalizer"], normalization, 0);
        List<PreTokenizationStep> preTokenization = [];
        bool byteLevel = false;
        AddPreTokenization(root["pre_tokenizer"], preTokenization, ref byteLevel, 0);
        List<int> prefix = [], suffix = [];
        AddPostProcessing(root["post_processor"], prefix, suffix, 0);
        return new TokenizerParts
        {
            Name = file,
            Model = ReadModel(root["model"], byteLevel, added),
            Normalization = normalization,
            PreTokenization = preTokenization,
            Added = added,
            Decoder = ReadDecoder(root["decoder"]),
            Prefix = prefix,
            Suffix = suffix,
        };
    }

    private static AddedToken ReadAdded(JsonValue token) => new(token["id"].Id(), token["content"].Text())
    {
        IsSpecial = token["special"].Flag(false),
        InNormalizedText = token["normalized"].Flag(false),
        TakesSpaceBefore = token["lstrip"].Flag(false),
        TakesSpaceAfter = token["rstrip"].Flag(false),
        IsWholeWord = token["single_word"].Flag(false),
    };

    private static void AddNormalization(JsonValue step, List<NormalizationStep> steps, int depth)
    {
        if (!step.Exists) return;
        switch (step["type"].Text())
        {
            case "Sequence":
                foreach (JsonValue inner in step["normalizers"].Items()) AddNormalization(inner, steps, Deeper(step, depth));
                break;
            case "NFC": steps.Add(Normalization.Unicode(compatibility: false, compose: true)); break;
            case "NFD": steps.Add(Normalization.Unicode(compatibility: false, compose: false)); break;
            case "NFKC": steps.Add(Normalization.Unicode(compatibility: true, compose: true)); break;
            case "NFKD": steps.Add(Normalization.Unicode(compatibility: true, compose: false)); break;
            case "Lowercase": steps.Add(Normalization.Lowercase()); break;
            case "Prepend": steps.Add(Normalization.Prepend(step["prepend"].Text())); break;
            case "Strip": steps.Add(Normalization.Strip(step["strip_left"].Flag(true), step["strip_right"].Flag(true))); break;
            case "Replace":
                string content = step["content"].Text();
                steps.Add(step["pattern"]["String"].OptionalText() is { } text
                    ? Normalization.Replace(text, content)
                    : Normalization.Replace(new RunePattern(step["pattern"]["Regex"].Text()), content));
                break;
            default: throw Unsupported(step, "normalizer", "NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip and Sequence");
        }
    }

    private static void AddPreTokenization(JsonValue step, List<PreTokenizationStep> steps, ref bool byteLevel, int depth)
    {
        if (!step.Exists) return;
        string type = step["type"].Text();
        if (byteLevel) throw new LowbitFormatException(step.File, $"the pre-tokenizer {type} follows ByteLevel, which must be the last; use another tokenizer.");
        switch (type)
        {
            case "Sequence":
                foreach (JsonValue inner in step["pretokenizers"].Items()) AddPreTokenization(inner, steps, ref byteLevel, Deeper(step, depth));
                break;
            case "ByteLevel":
                byteLevel = true;
                if (step["add_prefix_space"].Flag(true)) steps.Add(PreTokenization.PrefixBlank());
                if (step["use_regex"].Flag(true)) steps.Add(PreTokenization.Split(PreTokenization.Gpt2Pattern));
                break;
            case "Split":
                steps.Add(PreTokenization.Split(Pattern(step["pattern"]), Behavior(step["behavior"]), step["invert"].Flag(false)));
                break;
            case "Digits":
                steps.Add(PreTokenization.Split(@"\p{N}", step["individual_digits"].Flag(false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous));
                break;
            case "Punctuation":
                steps.Add(PreTokenization.Split(@"[\p{P}!-/:-@\[-`{-~]", step["behavior"].Exists ? Behavior(step["behavior"]) : SplitBehavior.Isolated));
                break;
            case "Whitespace":
                steps.Add(PreTokenization.Split(@"\w+|[^\w\s]+", SplitBehavior.Removed, invert: true));
                break;
            case "WhitespaceSplit":
                steps.Add(PreTokenization.Split(@"\s", SplitBehavior.Removed));
                break;
            case "Metaspace":
                string mark = step["replacement"].OptionalText() ?? SubwordModel.BlankMark;
                string scheme = PrependScheme(step);
                steps.Add(PreTokenization.BlankMarks(mark, scheme != "never", scheme == "first"));
                if (step["split"].Flag(true)) steps.Add(PreTokenization.Split(RunePattern.Escape(mark), SplitBehavior.MergedWithNext));
                break;
            default: throw Unsupported(step, "pre-tokenizer", "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace and Sequence");
        }
    }

    private static string PrependScheme(JsonValue step) => step["prepend_scheme"].OptionalText() switch
    {
        null => step["add_prefix_space"].Flag(true) ? "always" : "never", // before tokenizers 0.15
        "always" => "always",
        "first" => "first",
        "never" => "never",
        _ => throw step["prepend_scheme"].Bad("«always», «first» or «never»"),
    };

    private static string Pattern(JsonValue pattern) =>
        pattern["String"].OptionalText() is { } text ? RunePattern.Escape(text) : pattern["Regex"].Text();

    private static SplitBehavior Behavior(JsonValue behavior) =>
        Enum.TryParse(behavior.Text(), out SplitBehavior value) && Enum.IsDefined(value)
            ? value : throw behavior.Bad("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");

    private static void AddPostProcessing(JsonValue step, List<int> prefix, List<int> suffix, int depth)
    {
        if (!step.Exists) return;
        switch (step["type"].Text())
        {
            case "ByteLevel": break; // moves offsets, which nobody asks for here
            case "Sequence":
                foreach (JsonValue inner in step["processors"].Items()) AddPostProcessing(inner, prefix, suffix, Deeper(step, depth));
                break;
            case "TemplateProcessing":
                List<int> target = prefix;
                foreach (JsonValue part in step["single"].Items())
                {
                    if (part["Sequence"].Exists) target = suffix;
                    else target.AddRange(step["special_tokens"][part["SpecialToken"]["id"].Text()]["ids"].Items().Select(id => id.Id()));
                }
                break;
            default: throw Unsupported(step, "post-processor", "TemplateProcessing, ByteLevel and Sequence");
        }
    }

    private static SubwordModel ReadModel(JsonValue model, bool byteLevel, List<AddedToken> added)
    {
        string? type = model["type"].OptionalText() ?? (model["merges"].Exists ? "BPE" : null); // old files name no type
        return type switch
        {
            "BPE" => ReadBytePairs(model, byteLevel),
            "Unigram" => ReadUnigram(model, byteLevel, added),
            _ => throw Unsupported(model, "model", "BPE and Unigram"),
        };
    }

    private static BytePairEncoding ReadBytePairs(JsonValue model, bool byteLevel)
    {
        foreach (string name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model[name].OptionalText() is { Length: > 0 } affix)
                throw new LowbitFormatException(model.File, $"{name} is «{affix}», which is not supported; use a tokenizer without it.");
        }
        Vocabulary vocabulary = BytePairFiles.ReadVocabulary(model["vocab"], byteLevel);
        string? unknown = model["unk_token"].OptionalText();
        return new BytePairEncoding(vocabulary, BytePairFiles.ReadMerges(model["merges"], vocabulary, byteLevel), new BytePairOptions
        {
            ByteLevel = byteLevel,
            WholeWords = model["ignore_merges"].Flag(false),
            ByteFallback = model["byte_fallback"].Flag(false),
            FuseUnknown = model["fuse_unk"].Flag(false),
            UnknownId = unknown is not null && vocabulary.Find(Encoding.UTF8.GetBytes(unknown)) is >= 0 and int id ? id : null,
        });
    }

    private static Unigram ReadUnigram(JsonValue model, bool byteLevel, List<AddedToken> added)
    {
        if (byteLevel) throw new LowbitFormatException(model.File, "the model is Unigram after ByteLevel, which is not supported; use another tokenizer.");
        List<byte[]?> tokens = [];
        List<float> scores = [];
        HashSet<int> special = [.. added.Where(token => token.IsSpecial).Select(token => token.Id)];
        foreach (JsonValue entry in model["vocab"].Items())
        {
            JsonValue[] pair = [.. entry.Items()];
            if (pair.Length != 2) throw entry.Bad("a token and its score");
            scores.Add(special.Contains(tokens.Count) ? float.NaN : pair[1].Number());
            tokens.Add(Encoding.UTF8.GetBytes(pair[0].Text()));
        }
        int unknown = model["unk_id"].Id();
        if (unknown >= tokens.Count) throw model["unk_id"].Bad($"one of the {tokens.Count} ids");
        scores[unknown] = float.NaN;
        return new Unigram(new Vocabulary(tokens), [.. scores], unknown, model["byte_fallback"].Flag(false));
    }

    private static TokenDecoder ReadDecoder(JsonValue decoder)
    {
        TokenDecoder result = new();
        List<JsonValue> steps = [];
        Flatten(decoder, steps, 0);
        List<(string, string)> replacements = [];
        bool fused = false;
        foreach (JsonValue step in steps)
        {
            switch (step["type"].Text())
            {
                case "ByteLevel": result = result with { ByteLevel = true }; break;
                case "ByteFallback": result = result with { ByteTokens = true }; break;
                case "Fuse": fused = true; break;
                case "Replace": replacements.Add((step["pattern"]["String"].Text(), step["content"].Text())); break;
                case "Metaspace":
                    replacements.Add((step["replacement"].OptionalText() ?? SubwordModel.BlankMark, " "));
                    if (PrependScheme(step) != "never") result = result with { LeadingBlanks = 1 };
                    break;
                case "Strip" when fused && step["content"].Text() == " " && step["stop"].Id() == 0:
                    result = result with { LeadingBlanks = step["start"].Id() };
                    break;
                default: throw Unsupported(step, "decoder", "ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Sequence and, after Fuse, Strip of leading blanks");
            }
        }
        if (replacements.Any(pair => pair.Item1.Length == 0)) throw decoder.Bad("a replacement of something");
        return result with { Replacements = replacements };
    }

    private static void Flatten(JsonValue decoder, List<JsonValue> steps, int depth)
    {
        if (!decoder.Exists) return;
        if (decoder["type"].Text() != "Sequence") steps.Add(decoder);
        else foreach (JsonValue inner in decoder["decoders"].Items()) Flatten(inner, steps, Deeper(decoder, depth));
    }

    private static int Deeper(JsonValue step, int depth) => depth < DeepestSequence ? depth + 1 : throw step.Bad($"at most {DeepestSequence} nested sequences");

    private static LowbitFormatException Unsupported(JsonValue step, string kind, string supported) =>
        new(step.File, $"the {kind} is «{step["type"].OptionalText() ?? "without type"}», but supported are {supported}; use another tokenizer.");
}
