using Lowbit.Formats.Gguf;

namespace Lowbit.Tokenizers.Tests;

/// <summary>The vocabulary inside a GGUF file.</summary>
internal static class GgufMetadata
{
    public static GgufVocabulary ReadVocabulary(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        return new GgufVocabulary(file.GetString("tokenizer.ggml.model"), file.GetStringArray("tokenizer.ggml.tokens"))
        {
            Pre = Text("tokenizer.ggml.pre"),
            Scores = Has("tokenizer.ggml.scores") ? file.GetFloatArray("tokenizer.ggml.scores") : null,
            TokenTypes = Has("tokenizer.ggml.token_type") ? file.GetInt32Array("tokenizer.ggml.token_type") : null,
            Merges = Has("tokenizer.ggml.merges") ? file.GetStringArray("tokenizer.ggml.merges") : null,
            BeginId = Id("bos"),
            EndId = Id("eos"),
            EndOfTurnId = Id("eot"),
            EndOfMessageId = Id("eom"),
            UnknownId = Id("unknown"),
            AddBegin = Flag("add_bos_token"),
            AddEnd = Flag("add_eos_token"),
            AddSpacePrefix = Flag("add_space_prefix"),
            ChatTemplate = Text("tokenizer.chat_template"),
        };

        bool Has(string key) => file.Metadata.ContainsKey(key);
        string? Text(string key) => Has(key) ? file.GetString(key) : null;
        int? Id(string key) => Has($"tokenizer.ggml.{key}_token_id") ? file.GetInt32($"tokenizer.ggml.{key}_token_id") : null;
        bool? Flag(string key) => Has("tokenizer.ggml." + key) ? file.GetBool("tokenizer.ggml." + key) : null;
    }
}
