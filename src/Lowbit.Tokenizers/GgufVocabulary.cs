using System.Collections.Generic;

namespace Lowbit.Tokenizers;

/// <summary>The metadata <c>tokenizer.*</c> of a GGUF file, as they stand there; null where the file says nothing.</summary>
/// <param name="Model"><c>tokenizer.ggml.model</c>: <c>llama</c> (SentencePiece) or <c>gpt2</c> (byte-level pairs).</param>
/// <param name="Tokens"><c>tokenizer.ggml.tokens</c>.</param>
public sealed record GgufVocabulary(string Model, IReadOnlyList<string> Tokens)
{
    /// <summary><c>tokenizer.ggml.pre</c>: name of the pre-tokenizer.</summary>
    public string? Pre { get; init; }

    /// <summary><c>tokenizer.ggml.scores</c>, one a token.</summary>
    public IReadOnlyList<float>? Scores { get; init; }

    /// <summary><c>tokenizer.ggml.token_type</c>, one a token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.</summary>
    public IReadOnlyList<int>? TokenTypes { get; init; }

    /// <summary><c>tokenizer.ggml.merges</c>, «left right», the first to merge first.</summary>
    public IReadOnlyList<string>? Merges { get; init; }

    /// <summary><c>tokenizer.ggml.bos_token_id</c>.</summary>
    public int? BeginId { get; init; }

    /// <summary><c>tokenizer.ggml.eos_token_id</c>.</summary>
    public int? EndId { get; init; }

    /// <summary><c>tokenizer.ggml.eot_token_id</c>: ends a turn of a chat.</summary>
    public int? EndOfTurnId { get; init; }

    /// <summary><c>tokenizer.ggml.eom_token_id</c>: ends a message that calls a tool.</summary>
    public int? EndOfMessageId { get; init; }

    /// <summary><c>tokenizer.ggml.unknown_token_id</c>.</summary>
    public int? UnknownId { get; init; }

    /// <summary><c>tokenizer.ggml.add_bos_token</c>.</summary>
    public bool? AddBegin { get; init; }

    /// <summary><c>tokenizer.ggml.add_eos_token</c>.</summary>
    public bool? AddEnd { get; init; }

    /// <summary><c>tokenizer.ggml.add_space_prefix</c>.</summary>
    public bool? AddSpacePrefix { get; init; }

    /// <summary><c>tokenizer.chat_template</c>, in Jinja.</summary>
    public string? ChatTemplate { get; init; }
}
