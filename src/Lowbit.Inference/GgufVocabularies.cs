using Lowbit.Formats.Gguf;
using Lowbit.Tokenizers;

namespace Lowbit.Inference;

/// <summary>Takes the tokenizer out of a GGUF file's metadata; file formats and tokenizers do not know each other.</summary>
internal static class GgufVocabularies
{
    private const string Prefix = "tokenizer.ggml.";

    /// <exception cref="Core.LowbitFormatException">The file has no vocabulary, or a value is of the wrong type.</exception>
    public static GgufVocabulary Read(GgufFile file)
    {
        bool Has(string key) => file.Metadata.ContainsKey(Prefix + key);
        int? Id(string key) => Has(key) ? file.GetInt32(Prefix + key) : null;
        bool? Flag(string key) => Has(key) ? file.GetBool(Prefix + key) : null;
        return new GgufVocabulary(file.GetString(Prefix + "model"), file.GetStringArray(Prefix + "tokens"))
        {
            Pre = Has("pre") ? file.GetString(Prefix + "pre") : null,
            Scores = Has("scores") ? file.GetFloatArray(Prefix + "scores") : null,
            TokenTypes = Has("token_type") ? file.GetInt32Array(Prefix + "token_type") : null,
            Merges = Has("merges") ? file.GetStringArray(Prefix + "merges") : null,
            BeginId = Id("bos_token_id"),
            EndId = Id("eos_token_id"),
            EndOfTurnId = Id("eot_token_id"),
            EndOfMessageId = Id("eom_token_id"),
            UnknownId = Id("unknown_token_id"),
            AddBegin = Flag("add_bos_token"),
            AddEnd = Flag("add_eos_token"),
            AddSpacePrefix = Flag("add_space_prefix"),
            ChatTemplate = file.Metadata.ContainsKey("tokenizer.chat_template") ? file.GetString("tokenizer.chat_template") : null,
        };
    }
}
