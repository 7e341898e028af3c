using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>
/// The unigram language model (Kudo 2018, arXiv 1804.10959): of all ways to cut the text into tokens the one whose
/// scores have the greatest sum, found by the Viterbi algorithm.
/// </summary>
internal sealed class Unigram : SubwordModel
{
    private const double UnknownPenalty = 10; // below the lowest score, as SentencePiece has it

    private readonly float[] _scores;
    private readonly double _unknownScore;
    private readonly int _unknownId;
    private readonly int[]? _byteTokens;
    private readonly Trie _trie = new();

    /// <summary>Creates the model.</summary>
    /// <param name="vocabulary">The tokens in UTF-8.</param>
    /// <param name="scores">Log-probability of each; NaN for one that text never becomes (control, unknown and byte tokens).</param>
    /// <param name="unknownId">The token of what has none.</param>
    /// <param name="byteFallback">A character without token becomes the tokens of its bytes.</param>
    public Unigram(Vocabulary vocabulary, float[] scores, int unknownId, bool byteFallback) : base(vocabulary)
    {
        _scores = scores;
        _unknownId = unknownId;
        double lowest = 0;
        for (int id = 0; id < scores.Length; id++)
        {
            if (float.IsNaN(scores[id]) || vocabulary[id].IsEmpty) continue;
            lowest = Math.Min(lowest, scores[id]);
            int node = Trie.Root;
            foreach (byte value in vocabulary[id]) node = _trie.Grow(node, value);
            if (_trie[node] < 0) _trie[node] = id;
        }
        _unknownScore = lowest - UnknownPenalty;
        if (!byteFallback) return;
        _byteTokens = FindByteTokens();
        if (Array.IndexOf(_byteTokens, -1) is >= 0 and int missing)
            throw new LowbitException($"the vocabulary falls back to bytes but has no token {ByteTokenName(missing)}; get the file again.");
    }

    /// <inheritdoc/>
    public override void Encode(ReadOnlySpan<byte> piece, bool dropUnknown, List<int> ids, WorkMeter meter)
    {
        // best[i]: the best cut of the first i bytes; its last token ends at i and begins at from[i].
        double[] best = new double[piece.Length + 1];
        int[] token = new int[piece.Length + 1], from = new int[piece.Length + 1];
        Array.Fill(best, double.NegativeInfinity, 1, piece.Length);
        for (int start = 0; start < piece.Length; start += CharacterLength(piece[start]))
        {
            int character = Math.Min(start + CharacterLength(piece[start]), piece.Length), end = start;
            for (int node = _trie.Next(Trie.Root, piece[end]); node >= 0; node = end < piece.Length ? _trie.Next(node, piece[end]) : -1)
            {
                end++;
                if (_trie[node] >= 0) Offer(end, _trie[node], _scores[_trie[node]]);
            }
            meter.Add(end - start + 1);
            Offer(character, _unknownId, _unknownScore);

            void Offer(int to, int id, double score)
            {
                if (best[start] + score <= best[to]) return;
                (best[to], token[to], from[to]) = (best[start] + score, id, start);
            }
        }
        List<(int Start, int End)> cuts = [];
        for (int end = piece.Length; end > 0; end = from[end]) cuts.Add((from[end], end));
        cuts.Reverse();
        bool fused = false;
        foreach ((int start, int end) in cuts)
        {
            bool unknown = token[end] == _unknownId;
            if (unknown && _byteTokens is not null)
            {
                foreach (byte value in piece[start..end]) ids.Add(_byteTokens[value]);
            }
            else if (!unknown || (!fused && !dropUnknown))
            {
                ids.Add(token[end]);
            }
            fused = unknown;
        }
    }
}
