using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>Makes a tokenizer of the metadata of a GGUF file.</summary>
internal static class GgufTokenizer
{
    // Files often name only one end token, while chats end with another: the names by which llama.cpp knows them.
    private static readonly string[] s_endNames =
        ["<|eot_id|>", "<|im_end|>", "<|end|>", "<|eom_id|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|EOT|>", "<EOT>", "_<EOT>", "<|END_OF_TURN_TOKEN|>", "<|return|>", "<|call|>", "<|fim_pad|>", "<｜end▁of▁sentence｜>", "</s>"];

    /// <summary>Makes the tokenizer.</summary>
    /// <exception cref="LowbitException">The metadata contradict themselves or are of an unsupported kind.</exception>
    public static Tokenizer Create(GgufVocabulary source, string file)
    {
        CheckLength(source.Scores?.Count, "scores");
        CheckLength(source.TokenTypes?.Count, "token types");
        List<AddedToken> added = [];
        for (int id = 0; id < source.Tokens.Count; id++)
        {
            TokenKind kind = KindOf(source, id);
            if (kind is TokenKind.Control or TokenKind.Unknown or TokenKind.UserDefined)
                added.Add(new AddedToken(id, source.Tokens[id]) { IsSpecial = kind != TokenKind.UserDefined });
        }
        return new Tokenizer(source.Model switch
        {
            "llama" => SentencePiece(source, added, file),
            "gpt2" => ByteLevel(source, added, file),
            _ => throw new LowbitFormatException(file, $"tokenizer.ggml.model is «{source.Model}», but supported are «llama» and «gpt2»; use the model's Hugging Face folder."),
        });

        void CheckLength(int? count, string what)
        {
            if (count is not null && count != source.Tokens.Count)
                throw new LowbitFormatException(file, $"there are {count} {what} for {source.Tokens.Count} tokens; get the file again.");
        }
    }

    private static TokenizerParts SentencePiece(GgufVocabulary source, List<AddedToken> added, string file)
    {
        if (source.Scores is not { } scores) throw new LowbitFormatException(file, "a vocabulary of the model «llama» has no scores; get the file again.");
        if (scores.Any(score => !float.IsFinite(score))) throw new LowbitFormatException(file, "a score of the vocabulary is no finite number; get the file again.");
        bool spacePrefix = source.AddSpacePrefix ?? true;
        Vocabulary vocabulary = new([.. source.Tokens.Select(token => Encoding.UTF8.GetBytes(token))]);
        BytePairEncoding model = new(vocabulary, ScoredMerges.Of(vocabulary, scores, id => KindOf(source, id) is TokenKind.Normal or TokenKind.UserDefined), new BytePairOptions
        {
            ByteFallback = true,
            UnknownId = InRange(source.UnknownId ?? 0, source),
        });
        TokenDecoder decoder = new() { ByteTokens = true, Replacements = [(SubwordModel.BlankMark, " ")], LeadingBlanks = spacePrefix ? 1 : 0 };
        return Parts(source, added, file, model, decoder, addBegin: true) with
        {
            Normalization = [Normalization.SentencePiece(removeExtraBlanks: false, spacePrefix)],
        };
    }

    private static TokenizerParts ByteLevel(GgufVocabulary source, List<AddedToken> added, string file)
    {
        GgufPreTokenizer pre = GgufPreTokenizer.Find(source.Pre, file);
        Vocabulary vocabulary = new([.. source.Tokens.Select(ByteAlphabet.Bytes)]);
        IEnumerable<(string, string)> merges = (source.Merges ?? []).Select(BytePairFiles.SplitMerge);
        BytePairEncoding model = new(vocabulary, BytePairFiles.Merges(merges, vocabulary, byteLevel: true, file), new BytePairOptions
        {
            ByteLevel = true,
            WholeWords = pre.WholeWords,
        });
        return Parts(source, added, file, model, new TokenDecoder { ByteLevel = true }, pre.AddsBegin) with
        {
            PreTokenization = [.. pre.Patterns.Select(pattern => PreTokenization.Split(pattern))],
        };
    }

    private static TokenizerParts Parts(GgufVocabulary source, List<AddedToken> added, string file, SubwordModel model, TokenDecoder decoder, bool addBegin)
    {
        int? begin = InRange(source.BeginId ?? (source.Model == "llama" ? 1 : null), source);
        int? end = InRange(source.EndId ?? (source.Model == "llama" ? 2 : null), source);
        int?[] ends = [end, InRange(source.EndOfTurnId, source), InRange(source.EndOfMessageId, source)];
        IEnumerable<int> known = added.Where(token => token.IsSpecial && s_endNames.Contains(token.Content)).Select(token => token.Id);
        return new TokenizerParts
        {
            Name = file,
            Model = model,
            Added = added,
            Decoder = decoder,
            Prefix = begin is int first && (source.AddBegin ?? addBegin) ? [first] : [],
            Suffix = end is int last && (source.AddEnd ?? false) ? [last] : [],
            BeginId = begin,
            EndIds = [.. ends.OfType<int>(), .. known],
            ChatTemplate = source.ChatTemplate,
        };
    }

    private static int? InRange(int? id, GgufVocabulary source) => id >= 0 && id < source.Tokens.Count ? id : null;

    private static TokenKind KindOf(GgufVocabulary source, int id) => source.TokenTypes is { } kinds ? (TokenKind)kinds[id] : TokenKind.Normal;
}
