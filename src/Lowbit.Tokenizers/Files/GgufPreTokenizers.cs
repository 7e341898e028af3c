using System.Collections.Generic;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>
/// The pre-tokenizers that GGUF files name (<c>tokenizer.ggml.pre</c>): the names are llama.cpp's, the patterns are those of
/// the families' own tokenizer files. Every pattern cuts the pieces that the one before it left.
/// </summary>
/// <param name="Patterns">In the order of their cuts.</param>
/// <param name="WholeWords">A word that is a token stays whole, whatever the merges say.</param>
/// <param name="AddsBegin">A text begins with the begin token where the file does not say.</param>
internal sealed record GgufPreTokenizer(IReadOnlyList<string> Patterns, bool WholeWords = false, bool AddsBegin = false)
{
    private const string Gpt2 = PreTokenization.Gpt2Pattern;
    private const string Contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string Blanks = @"\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Word = @"[^\r\n\p{L}\p{N}]?\p{L}+";
    private const string Symbols = @" ?[^\s\p{L}\p{N}]+[\r\n]*";
    private const string Llama3 = $@"{Contractions}|{Word}|\p{{N}}{{1,3}}|{Symbols}|{Blanks}";
    private const string Qwen2 = $@"{Contractions}|{Word}|\p{{N}}|{Symbols}|{Blanks}";
    private const string Qwen35 = $@"{Contractions}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{Blanks}";
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", Before = @"[^\r\n\p{L}\p{N}]?";
    private const string Gpt4o = $@"{Before}{Upper}*{Lower}+{Contractions}?|{Before}{Upper}+{Lower}*{Contractions}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Blanks}";
    private const string Tekken = $@"{Before}{Upper}*{Lower}+|{Before}{Upper}+{Lower}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Blanks}";
    private const string Youtu = $@"{Before}{Upper}*{Lower}+{Contractions}?|{Before}{Upper}+{Lower}*{Contractions}?|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{Blanks}";
    private const string HanUpper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", HanLower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]";
    private const string KimiK2 = $@"\p{{Han}}+|{Before}{HanUpper}*{HanLower}+{Contractions}?|{Before}{HanUpper}+{HanLower}*{Contractions}?|\p{{N}}{{1,3}}|{Symbols}|{Blanks}";
    private const string BailingMoe = $@"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{{L}}\p{{N}}]?+\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
    private const string SeedCoder = $@"{Contractions}|{Word}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{Blanks}";
    private const string Jais2 = $@"{Contractions}|{Word}|\p{{N}}{{1,3}}|{Symbols}|\s*[\r\n]+|\s{{512}}(?!\S)|\s{{256}}(?!\S)|\s{{128}}(?!\S)|\s{{64}}(?!\S)|\s{{32}}(?!\S)|\s{{16}}(?!\S)|\s{{8}}(?!\S)|\s{{4}}(?!\S)|\s{{1,2}}(?!\S)|\s";
    private const string ExaoneMoe = $@"{Contractions}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
    private const string DeepSeek3 = $@"[!-/:-~][A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{Blanks}";
    private const string Kana = @"[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+";
    private const string Bloom = @" ?[^(\s|.,!?…。，、।۔،)]+";

    /// <summary>Finds a pre-tokenizer.</summary>
    /// <param name="name">As in the file; null is what files from before the name was invented have.</param>
    /// <param name="file">For the message.</param>
    /// <exception cref="LowbitFormatException">The name is not known.</exception>
    public static GgufPreTokenizer Find(string? name, string file) => name switch
    {
        null or "" or "default" => new([@"[\p{P}$+<=>^~|]+", Gpt2, @"\p{N}+", "[0-9][0-9][0-9]"]),
        "gpt-2" or "phi-2" or "gpt-neox" or "jina-es" or "jina-de" or "jina-v1-en" or "jina-v2-es" or "jina-v2-de" or "jina-v2-code" or "roberta-bpe"
            or "gigachat" or "a.x-4.0" or "mellum" or "modern-bert" or "exaone4" or "mpt" or "olmo" or "jais" or "trillion" or "granite-docling" => new([Gpt2]),
        "llama3" or "llama-v3" or "llama-bpe" or "falcon3" or "falcon-h1" or "pixtral" or "midm-2.0" or "lfm2" or "jina-v5-nano" => new([Llama3], WholeWords: true, AddsBegin: true),
        "dbrx" or "smaug-bpe" or "glm4" or "chatglm-bpe" => new([Llama3]),
        "qwen2" or "deepseek-r1-qwen" or "kormo" or "f2llmv2" or "megrez" or "stablelm2" or "hunyuan" or "solar-open" or "grok-2" => new([Qwen2]),
        "qwen35" => new([Qwen35]),
        "laguna" => new([@"[^\n]+|\n+", Qwen2]),
        "starcoder" or "refact" or "command-r" or "codeshell" or "exaone" or "minerva-7b" or "mellum2" => new([@"\p{N}", Gpt2]),
        // The family's own file and llama.cpp isolate every number (\p{N}); the reference figures of this project do not.
        "smollm" => new(["[0-9]", Gpt2]),
        "falcon" => new([@"[\p{P}$+<=>^~|`]+", Gpt2, "[0-9][0-9][0-9]"]),
        // llama.cpp lists the cased letters one by one.
        "deepseek-llm" => new([@"[\r\n]", @"\s?[\p{Lu}\p{Ll}\p{Lt}]+", @"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", @"\s+$", @"[一-龥ࠀ-一가-\uD7FF]+", @"\p{N}+"]),
        "deepseek-coder" => new([@"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", @"[一-龥ࠀ-一가-\uD7FF]+", @"\p{N}"]),
        "deepseek-v3" or "hunyuan-dense" or "joyai-llm" => new([@"\p{N}{1,3}", Kana, DeepSeek3]),
        "youtu" => new([@"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+", Youtu], WholeWords: true),
        "poro-chat" or "bloom" or "gpt3-finnish" => new([Bloom]),
        "viking" => new([Bloom, @"\p{N}"]),
        "tekken" => new([Tekken], WholeWords: true, AddsBegin: true),
        "chameleon" => new(["<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", @"[\t\n]|    |  ", @"\p{N}", @"[\p{P}!-/:-@\[-`{-~]", Gpt2], AddsBegin: true),
        "gpt-4o" or "llama4" or "kanana2" or "talkie" or "minimax-m2" => new([Gpt4o]),
        "tiny_aya" or "cohere2moe" => new([@"\d{1,3}(?=(?:\d{3})*\b)", Gpt4o]),
        "kimi-k2" => new([KimiK2]),
        "superbpe" => new([@"\p{N}+", @"(?=(\d{3})+(?!\d))"]),
        "bailingmoe" or "bailingmoe2" or "llada-moe" => new([BailingMoe]),
        "seed-coder" => new([SeedCoder]),
        "jais-2" => new([Jais2]),
        "exaone-moe" => new([ExaoneMoe]),
        _ => throw new LowbitFormatException(file, $"tokenizer.ggml.pre is «{name}», which is not known; use the model's Hugging Face folder, or a newer version."),
    };
}
