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
    private readonly Dictionary<int, AddedToken> _added;
    private readonly AddedTokens _inText, _inNormalizedText;
    private readonly byte[]?[] _bytes;
    private readonly Lazy<ChatTemplate?> _chatTemplate;

    internal Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _added = [];
        foreach (AddedToken token in parts.Added) _added[token.Id] = token;
        _inText = new AddedTokens(_added.Values.Where(token => !token.InNormalizedText), token => token.Content);
        _inNormalizedText = new AddedTokens(_added.Values.Where(token => token.InNormalizedText), NormalizedContent);
        VocabularySize = Math.Max(parts.Model.Vocabulary.Count, _added.Count == 0 ? 0 : _added.Keys.Max() + 1);
        if (VocabularySize > Vocabulary.LargestSize)
            throw new LowbitException($"{parts.Name}: an added token has the id {VocabularySize - 1}, more than any model has; get the file again.");
        _bytes = new byte[]?[VocabularySize];
        BeginId = Known(parts.BeginId);
        EndIds = [.. parts.EndIds.Where(id => Known(id) is not null).Distinct()];
        _chatTemplate = new(() => parts.ChatTemplate is { } template ? new ChatTemplate(template, SpecialText(BeginId), SpecialText(EndIds.Count > 0 ? EndIds[0] : null)) : null);

        int? Known(int? id) => id >= 0 && id < VocabularySize ? id : null;
    }

    /// <summary>Number of ids, gaps included; logits can have more.</summary>
    public int VocabularySize { get; }

    /// <summary>The token that begins a text, if there is one.</summary>
    public int? BeginId { get; }

    /// <summary>The tokens after which a model has said all; the first is the one that ends a text.</summary>
    public IReadOnlyList<int> EndIds { get; }

    /// <summary>The chat template that came with the files, or null.</summary>
    /// <exception cref="LowbitException">There is one, but it is not understood.</exception>
    public ChatTemplate? ChatTemplate => _chatTemplate.Value;

    internal TokenDecoder Decoder => _parts.Decoder;

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
            string normalized = Normalize(text[at..end], meter);
            if (at == 0 && (addSpecial || plain) && _parts.SingleLeadingBlank && normalized.StartsWith(DoubleMark, StringComparison.Ordinal)) normalized = normalized[1..];
            EncodeNormalized(normalized, at == 0, parseSpecial, plain, ids, meter);
        }
    }

    /// <summary>Turns ids into text; bytes that are no UTF-8 become replacement characters.</summary>
    /// <param name="ids">Ids of the vocabulary.</param>
    /// <param name="skipSpecial">Leaves out special tokens.</param>
    /// <param name="continues">The ids follow others, so that a leading blank is part of the text.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = true, bool continues = false)
    {
        IncrementalDecoder decoder = CreateDecoder(skipSpecial, continues);
        StringBuilder text = new();
        foreach (int id in ids) text.Append(decoder.Next(id));
        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>Begins to turn ids into text piece by piece; parameters as of <see cref="Decode"/>.</summary>
    /// <param name="skipSpecial">Leaves out special tokens.</param>
    /// <param name="continues">The ids follow others, so that a leading blank is part of the text.</param>
    public IncrementalDecoder CreateDecoder(bool skipSpecial = true, bool continues = false) => new(this, skipSpecial, continues);

    /// <summary>The exact bytes that a token writes; they need not be whole characters. Empty for an id that no token has.</summary>
    /// <param name="id">Id of the vocabulary.</param>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no such id.</exception>
    public ReadOnlyMemory<byte> TokenBytes(int id) => BytesOf(id);

    /// <summary>Whether the token belongs to a protocol (begin, end, roles) rather than to a text.</summary>
    /// <param name="id">Any number.</param>
    public bool IsSpecial(int id) => _added.TryGetValue(id, out AddedToken? token) && token.IsSpecial;

    /// <summary>The id of an added token (special or not) with this text, or null.</summary>
    /// <param name="content">Its text, such as <c>&lt;|im_end|&gt;</c>.</param>
    public int? FindAdded(string content) => _parts.Added.FirstOrDefault(token => token.Content == content)?.Id;

    internal byte[] BytesOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return _bytes[id] ??= ComputeBytes(id);
    }

    private byte[] ComputeBytes(int id)
    {
        if (!_added.TryGetValue(id, out AddedToken? token)) return id < _parts.Model.Vocabulary.Count ? Decoder.Bytes(_parts.Model.Vocabulary[id]) : [];
        // Hugging Face tokenizers write an added token that is found in normalized text in its normalized form.
        return Decoder.Bytes(Encoding.UTF8.GetBytes(token.InNormalizedText ? NormalizedContent(token) : token.Content));
    }

    private string NormalizedContent(AddedToken token) => token.NormalizedContent ?? Normalize(token.Content, WorkMeter.ForText(token.Content.Length));

    private string? SpecialText(int? id) => id is not int known ? null
        : _added.TryGetValue(known, out AddedToken? token) ? token.Content : Encoding.UTF8.GetString(BytesOf(known));

    private string Normalize(string text, WorkMeter meter)
    {
        foreach (NormalizationStep step in _parts.Normalization) text = step(text, meter);
        return text;
    }

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
