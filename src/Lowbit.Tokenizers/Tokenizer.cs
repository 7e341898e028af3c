using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Chat;
using Lowbit.Tokenizers.Files;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>
/// Text to ids and back. A text passes these stages: added tokens are cut out, the rest is normalized, cut into pieces
/// that no token crosses, and each piece goes through the model; the post-processor adds begin and end. Safe for several threads.
/// </summary>
public sealed class Tokenizer
{
    private const string DoubleMark = SubwordModel.BlankMark + SubwordModel.BlankMark;

    private readonly TokenizerParts _parts;
    private readonly AddedTokens _inText, _inNormalizedText;
    private readonly TokenText _text;
    private readonly Lazy<ChatTemplate?> _chatTemplate;

    internal Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _text = new TokenText(parts);
        _inText = new AddedTokens(_text.Added.Values.Where(token => !token.InNormalizedText), token => token.Content);
        _inNormalizedText = new AddedTokens(_text.Added.Values.Where(token => token.InNormalizedText), _text.NormalizedContent);
        EndIds = [.. parts.EndIds.Where(id => _text.Known(id) is not null).Distinct()];
        _chatTemplate = new(() => parts.ChatTemplate is { } template ? new ChatTemplate(template, SpecialText(BeginId), SpecialText(EndIds.Count > 0 ? EndIds[0] : null)) : null);
    }

    /// <summary>Number of ids, gaps included; logits can have more.</summary>
    public int VocabularySize => _text.VocabularySize;

    /// <summary>The token that begins a text, if there is one.</summary>
    public int? BeginId => _text.BeginId;

    /// <summary>The tokens after which a model has said all; the first is the one that ends a text.</summary>
    public IReadOnlyList<int> EndIds { get; }

    /// <summary>The chat template that came with the files, or null.</summary>
    /// <exception cref="LowbitException">There is one, but it is not understood.</exception>
    public ChatTemplate? ChatTemplate => _chatTemplate.Value;

    /// <summary>
    /// Reads the tokenizer of a model folder: <c>tokenizer.json</c>, <c>vocab.json</c> with <c>merges.txt</c>, or
    /// <c>tokenizer.model</c>, with <c>tokenizer_config.json</c>, <c>generation_config.json</c> and <c>chat_template.jinja</c> beside it.
    /// </summary>
    /// <param name="path">The folder, or one of the three files.</param>
    /// <exception cref="LowbitException">There is no tokenizer, or it is damaged or of an unsupported kind.</exception>
    public static Tokenizer Load(string path) => TokenizerFolder.Read(path);

    /// <summary>Makes the tokenizer of a GGUF file.</summary>
    /// <param name="vocabulary">The metadata.</param>
    /// <param name="file">Name of the file, for messages.</param>
    /// <exception cref="LowbitException">The metadata contradict themselves, or the pre-tokenizer is unknown.</exception>
    public static Tokenizer FromGguf(GgufVocabulary vocabulary, string file) => GgufTokenizer.Create(vocabulary, file);

    /// <summary>Reads a tokenizer of llama2.c (<c>tok512.bin</c>).</summary>
    /// <param name="path">The file.</param>
    /// <param name="vocabularySize">Number of tokens, which the file does not tell; the header of the model does.</param>
    /// <exception cref="LowbitException">The file is not there or damaged.</exception>
    public static Tokenizer FromLlama2C(string path, int vocabularySize) => Llama2CTokenizer.Read(path, vocabularySize);

    /// <summary>Turns text into ids.</summary>
    /// <param name="text">Any text; lone surrogates count as replacement characters.</param>
    /// <param name="addSpecial">Adds begin and end tokens as the model wants.</param>
    /// <param name="parseSpecial">Special tokens written in the text become their ids; leave it off for text from outside.</param>
    /// <exception cref="LowbitException">The patterns of the tokenizer explode on this text.</exception>
    public List<int> Encode(string text, bool addSpecial = true, bool parseSpecial = false) =>
        Encode(text, addSpecial, parseSpecial, plain: false, WorkMeter.ForText(text.Length));

    /// <summary>
    /// Turns text to calibrate with or to measure on into ids, as transformers 5 does: no special tokens of any kind, and characters
    /// that the vocabulary lacks are left out, since the token for the unknown says nothing of a text. Vocabularies with all 256 bytes
    /// lack none.
    /// </summary>
    /// <param name="text">The text.</param>
    /// <exception cref="LowbitException">The patterns of the tokenizer explode on this text.</exception>
    public List<int> EncodePlain(string text) => Encode(text, addSpecial: false, parseSpecial: false, plain: true, WorkMeter.ForText(text.Length));

    internal List<int> Encode(string text, bool addSpecial, bool parseSpecial, bool plain, WorkMeter meter)
    {
        List<int> ids = [];
        if (addSpecial) ids.AddRange(_parts.Prefix);
        int at = 0;
        while (_inText.Find(text, at, parseSpecial, out int start, out int end) is { } token)
        {
            EncodeUntil(start);
            ids.Add(token.Id);
            at = end;
        }
        EncodeUntil(text.Length);
        if (addSpecial) ids.AddRange(_parts.Suffix);
        return ids;

        void EncodeUntil(int end)
        {
            string normalized = _text.Normalize(text[at..end], meter);
            if (at == 0 && (addSpecial || plain) && _parts.SingleLeadingBlank && normalized.StartsWith(DoubleMark, StringComparison.Ordinal)) normalized = normalized[1..];
            EncodeNormalized(normalized, at == 0, parseSpecial, plain, ids, meter);
        }
    }

    /// <summary>Turns ids into text; bytes that are no UTF-8 become replacement characters.</summary>
    /// <param name="ids">Ids of the vocabulary.</param>
    /// <param name="skipSpecial">Leaves out special tokens.</param>
    /// <param name="continues">The ids follow others, so that a leading blank is part of the text.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true, bool continues = false) => CreateDecoder(skipSpecial, continues).Last(ids);

    /// <summary>Begins to turn ids into text piece by piece; parameters as of <see cref="Decode"/>.</summary>
    /// <param name="skipSpecial">Leaves out special tokens.</param>
    /// <param name="continues">The ids follow others, so that a leading blank is part of the text.</param>
    public IncrementalDecoder CreateDecoder(bool skipSpecial = true, bool continues = false) => new(_text, skipSpecial, continues);

    /// <summary>The exact bytes that a token writes; they need not be whole characters. Empty for an id that no token has.</summary>
    /// <param name="id">Id of the vocabulary.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public ReadOnlyMemory<byte> TokenBytes(int id) => _text.Bytes(id);

    /// <summary>Whether the token belongs to a protocol (begin, end, roles) rather than to a text.</summary>
    /// <param name="id">Any number.</param>
    public bool IsSpecial(int id) => _text.IsSpecial(id);

    private string? SpecialText(int? id) => id is not int known ? null
        : _text.Added.TryGetValue(known, out AddedToken? token) ? token.Content : Encoding.UTF8.GetString(_text.Bytes(known));

    private void EncodeNormalized(string text, bool isBeginning, bool parseSpecial, bool plain, List<int> ids, WorkMeter meter)
    {
        int at = 0;
        while (_inNormalizedText.Find(text, at, parseSpecial, out int start, out int end) is { } token)
        {
            EncodePieces(text[at..start], isBeginning && at == 0, plain, ids, meter);
            ids.Add(token.Id);
            at = end;
        }
        EncodePieces(at == 0 ? text : text[at..], isBeginning && at == 0, plain, ids, meter);
    }

    private void EncodePieces(string text, bool isBeginning, bool plain, List<int> ids, WorkMeter meter)
    {
        PieceList pieces = new(text, isBeginning);
        foreach (PreTokenizationStep step in _parts.PreTokenization) step(pieces, meter);
        byte[] buffer = [];
        foreach ((int start, int end) in pieces.Pieces)
        {
            int most = Encoding.UTF8.GetMaxByteCount(end - start);
            if (buffer.Length < most) buffer = new byte[Math.Max(most, 256)];
            int length = Encoding.UTF8.GetBytes(pieces.Text.AsSpan(start, end - start), buffer);
            _parts.Model.Encode(buffer.AsSpan(0, length), plain, ids, meter);
        }
    }
}

/// <summary>What a file says about a tokenizer.</summary>
internal sealed record TokenizerParts
{
    /// <summary>Name of the file, for messages.</summary>
    public required string Name { get; init; }

    public required SubwordModel Model { get; init; }

    public IReadOnlyList<NormalizationStep> Normalization { get; init; } = [];

    public IReadOnlyList<PreTokenizationStep> PreTokenization { get; init; } = [];

    public IReadOnlyList<AddedToken> Added { get; init; } = [];

    public required TokenDecoder Decoder { get; init; }

    /// <summary>Ids before every text.</summary>
    public IReadOnlyList<int> Prefix { get; init; } = [];

    /// <summary>Ids after every text.</summary>
    public IReadOnlyList<int> Suffix { get; init; } = [];

    /// <summary>
    /// A text to which special tokens are added, or a plain one, keeps its own leading blank instead of getting a second one: what
    /// transformers 5 does for <c>"legacy": false</c>, although the steps in <c>tokenizer.json</c> say otherwise.
    /// </summary>
    public bool SingleLeadingBlank { get; init; }

    public int? BeginId { get; init; }

    public IReadOnlyList<int> EndIds { get; init; } = [];

    /// <summary>The template in Jinja.</summary>
    public string? ChatTemplate { get; init; }
}
