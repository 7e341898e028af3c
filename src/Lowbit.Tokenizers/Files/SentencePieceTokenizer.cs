using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>
/// Reads SentencePiece's <c>tokenizer.model</c>, a protocol buffer <c>ModelProto</c>: pieces (field 1), what the trainer was
/// told (2), how text is normalized (3).
/// </summary>
internal static class SentencePieceTokenizer
{
    private const int LargestFile = 1 << 28;

    private sealed class Model
    {
        public List<byte[]?> Tokens { get; } = [];
        public List<float> Scores { get; } = [];
        public List<TokenKind> Kinds { get; } = [];
        public long ModelType { get; set; } = 1;
        public bool ByteFallback { get; set; }
        public int UnknownId { get; set; }
        public int BeginId { get; set; } = 1;
        public int EndId { get; set; } = 2;
        public bool AddDummyPrefix { get; set; } = true;
        public bool RemoveExtraBlanks { get; set; } = true;
        public int CharacterMapBytes { get; set; }
        public string NormalizerName { get; set; } = "";
        public bool BlankAsSuffix { get; set; }
        public bool EscapeBlanks { get; set; } = true;
    }

    /// <summary>Reads the file.</summary>
    /// <exception cref="LowbitException">The file is missing, damaged, or of an unsupported kind.</exception>
    public static TokenizerParts Read(string file)
    {
        Model model = new();
        foreach (Field field in Fields(WholeFile.Read(file, LargestFile), file))
        {
            switch (field.Number)
            {
                case 1: ReadPiece(field, model, file); break;
                case 2: ReadTrainer(field, model, file); break;
                case 3: ReadNormalizer(field, model, file); break;
            }
        }
        Check(model, file);
        Vocabulary vocabulary = new(model.Tokens);
        List<AddedToken> added = [];
        for (int id = 0; id < vocabulary.Count; id++)
        {
            string content = Encoding.UTF8.GetString(vocabulary[id]);
            if (model.Kinds[id] is TokenKind.Control or TokenKind.Unknown) added.Add(new AddedToken(id, content) { IsSpecial = true });
            else if (model.Kinds[id] == TokenKind.UserDefined) added.Add(new AddedToken(id, content) { InNormalizedText = true, NormalizedContent = content });
        }
        bool hasBegin = model.BeginId >= 0 && model.BeginId < vocabulary.Count;
        return new TokenizerParts
        {
            Name = file,
            Model = model.ModelType == 1 ? Unigram(model, vocabulary) : BytePairs(model, vocabulary),
            Normalization = [Normalization.SentencePiece(model.RemoveExtraBlanks, model.AddDummyPrefix)],
            Added = added,
            Decoder = new TokenDecoder
            {
                ByteTokens = true,
                Replacements = [(SubwordModel.BlankMark, " ")],
                LeadingBlanks = model.RemoveExtraBlanks ? int.MaxValue : model.AddDummyPrefix ? 1 : 0,
            },
            // The file does not say whether a model wants its begin token; every model that comes as this file does.
            Prefix = hasBegin ? [model.BeginId] : [],
            BeginId = hasBegin ? model.BeginId : null,
            EndIds = [model.EndId],
        };
    }

    private static void Check(Model model, string file)
    {
        if (model.Tokens.Count == 0) throw new LowbitFormatException(file, "it has no pieces, so it is no SentencePiece model; get it again.");
        if (model.ModelType is not (1 or 2)) throw new LowbitFormatException(file, $"the model type is {model.ModelType}, but supported are 1 (unigram) and 2 (BPE); use another tokenizer.");
        if (model.CharacterMapBytes > 0)
            throw new LowbitFormatException(file, $"the normalization «{model.NormalizerName}» with a character map of {model.CharacterMapBytes} bytes is not supported, only identity is; use the tokenizer.json of the model, or another tokenizer.");
        if (model.BlankAsSuffix || !model.EscapeBlanks) throw new LowbitFormatException(file, "blanks as suffixes or unescaped blanks are not supported; use another tokenizer.");
        if (model.UnknownId < 0 || model.UnknownId >= model.Tokens.Count) throw new LowbitFormatException(file, $"the unknown token is {model.UnknownId}, but there are {model.Tokens.Count} pieces; get it again.");
    }

    private static BytePairEncoding BytePairs(Model model, Vocabulary vocabulary) =>
        new(vocabulary, ScoredMerges.Of(vocabulary, model.Scores, id => model.Kinds[id] == TokenKind.Normal), new BytePairOptions
        {
            ByteFallback = model.ByteFallback,
            UnknownId = model.UnknownId,
            FuseUnknown = true,
        });

    private static Unigram Unigram(Model model, Vocabulary vocabulary)
    {
        float[] scores = [.. model.Scores];
        for (int id = 0; id < scores.Length; id++)
        {
            if (model.Kinds[id] != TokenKind.Normal) scores[id] = float.NaN;
        }
        return new Unigram(vocabulary, scores, model.UnknownId, model.ByteFallback);
    }

    private static void ReadPiece(Field piece, Model model, string file)
    {
        byte[] token = [];
        float score = 0;
        long kind = 1;
        foreach (Field field in Fields(piece.Bytes, file))
        {
            switch (field.Number)
            {
                case 1: token = field.Bytes.ToArray(); break;
                case 2: score = BitConverter.Int32BitsToSingle((int)field.Value); break;
                case 3: kind = field.Value; break;
            }
        }
        if (!float.IsFinite(score) || kind is < 1 or > 6)
            throw new LowbitFormatException(file, $"piece {model.Tokens.Count} has the score {score} and the type {kind} where a finite number and 1 to 6 are expected; get it again.");
        model.Tokens.Add(token);
        model.Scores.Add(score);
        model.Kinds.Add((TokenKind)kind);
    }

    private static void ReadTrainer(Field trainer, Model model, string file)
    {
        foreach (Field field in Fields(trainer.Bytes, file))
        {
            switch (field.Number)
            {
                case 3: model.ModelType = field.Value; break;
                case 24: model.BlankAsSuffix = field.Value != 0; break;
                case 35: model.ByteFallback = field.Value != 0; break;
                case 40: model.UnknownId = (int)field.Value; break;
                case 41: model.BeginId = (int)field.Value; break;
                case 42: model.EndId = (int)field.Value; break;
            }
        }
    }

    private static void ReadNormalizer(Field normalizer, Model model, string file)
    {
        foreach (Field field in Fields(normalizer.Bytes, file))
        {
            switch (field.Number)
            {
                case 1: model.NormalizerName = Encoding.UTF8.GetString(field.Bytes.Span); break;
                case 2: model.CharacterMapBytes = field.Bytes.Length; break;
                case 3: model.AddDummyPrefix = field.Value != 0; break;
                case 4: model.RemoveExtraBlanks = field.Value != 0; break;
                case 5: model.EscapeBlanks = field.Value != 0; break;
            }
        }
    }

    /// <summary>One field of a protocol buffer: a number, or bytes.</summary>
    private readonly record struct Field(long Number, long Value, ReadOnlyMemory<byte> Bytes);

    private static IEnumerable<Field> Fields(ReadOnlyMemory<byte> message, string file)
    {
        int at = 0;
        while (at < message.Length)
        {
            long tag = Varint();
            long value = 0;
            ReadOnlyMemory<byte> bytes = default;
            switch (tag & 7)
            {
                case 0: value = Varint(); break;
                case 1: value = BinaryPrimitives.ReadInt64LittleEndian(Take(8).Span); break;
                case 2: bytes = Take(Varint()); break;
                case 5: value = BinaryPrimitives.ReadInt32LittleEndian(Take(4).Span); break;
                default: throw Damaged($"a field of the kind {tag & 7} at byte {at}");
            }
            yield return new Field(tag >>> 3, value, bytes);
        }

        long Varint()
        {
            long value = 0;
            for (int shift = 0; shift < 64; shift += 7)
            {
                if (at >= message.Length) throw Damaged("an end inside of a number");
                byte next = message.Span[at++];
                value |= (long)(next & 0x7F) << shift;
                if (next < 0x80) return value;
            }
            throw Damaged("a number of more than 64 bits");
        }

        ReadOnlyMemory<byte> Take(long count)
        {
            if (count < 0 || count > message.Length - at) throw Damaged($"{count} bytes announced where {message.Length - at} are left");
            at += (int)count;
            return message.Slice(at - (int)count, (int)count);
        }

        LowbitFormatException Damaged(string found) => new(file, $"it has {found}, so it is no SentencePiece model or is damaged; get it again.");
    }
}
