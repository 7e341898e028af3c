using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>
/// Reads the tokenizer of llama2.c: the length of the longest token, then for each a score (binary32), a length and as many
/// bytes, all little-endian. A blank stands for itself; 0 is unknown, 1 begins and 2 ends a text. As in its <c>run.c</c>,
/// a leading blank is dropped only after the begin token.
/// </summary>
internal static class Llama2CTokenizer
{
    private const int LargestFile = 1 << 26;

    /// <summary>Reads the file.</summary>
    /// <exception cref="LowbitException">The file is not there, truncated or of another size of vocabulary.</exception>
    public static Tokenizer Read(string file, int vocabularySize)
    {
        ReadOnlySpan<byte> rest = WholeFile.Read(file, LargestFile);
        if (vocabularySize is < 3 or > TokenList.LargestSize) throw new LowbitException($"{file}: {vocabularySize} tokens are asked for, but 3 to {TokenList.LargestSize} are possible; check the header of the model.");
        Take(ref rest, 4);
        List<byte[]?> tokens = [];
        List<float> scores = [];
        for (int id = 0; id < vocabularySize; id++)
        {
            scores.Add(BinaryPrimitives.ReadSingleLittleEndian(Take(ref rest, 4)));
            tokens.Add(Take(ref rest, BinaryPrimitives.ReadInt32LittleEndian(Take(ref rest, 4))).ToArray());
            if (!float.IsFinite(scores[id])) throw new LowbitFormatException(file, $"token {id} has the score {scores[id]} where a finite number is expected; get the file again.");
        }
        if (!rest.IsEmpty) throw new LowbitFormatException(file, $"{rest.Length} bytes follow the {vocabularySize} tokens; check that it belongs to the model.");
        string[] names = ["<unk>", "<s>", "</s>"];
        Vocabulary vocabulary = new(tokens);
        return new Tokenizer(new TokenizerParts
        {
            Name = file,
            Model = new BytePairEncoding(vocabulary, ScoredMerges.Of(vocabulary, scores, id => id > 2), new BytePairOptions { ByteFallback = true, UnknownId = 0 }),
            Normalization = [Normalization.Prepend(" ")],
            Added = [.. names.Select((name, id) => new AddedToken(id, name) { IsSpecial = true })],
            Decoder = new TokenDecoder { ByteTokens = true, LeadingBlanks = 1, OnlyAfterBegin = true },
            Prefix = [1],
            BeginId = 1,
            EndIds = [2, 1], // run.c ends a text at its begin token: the next one starts there
        });

        ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> bytes, int count)
        {
            if (count < 0 || count > bytes.Length) throw new LowbitFormatException(file, $"it ends inside of a token, with {bytes.Length} bytes left where {count} are expected; check that it has {vocabularySize} tokens.");
            ReadOnlySpan<byte> taken = bytes[..count];
            bytes = bytes[count..];
            return taken;
        }
    }
}
