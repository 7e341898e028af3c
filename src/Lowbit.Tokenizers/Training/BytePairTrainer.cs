// Byte pair encoding
// Gage, The C Users Journal 12 (2), 1994; Sennrich, Haddow, Birch, arXiv 1508.07909; over bytes: Radford et al., GPT-2, 2019.
//
// The text is cut into words by GPT-2's pattern. A word is a row of tokens, at first its bytes; again and again the pair of
// neighbours that occurs most often becomes a token of its own, until there are enough. Of equally frequent pairs the one
// with the smaller ids is taken, so the same text gives the same tokens everywhere.

using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers.Training;

/// <summary>Learns the tokens of a byte-level tokenizer from text.</summary>
public static class BytePairTrainer
{
    /// <summary>Learns so many tokens: special ones first, then the 256 bytes, then merges in the order in which they were found.</summary>
    /// <param name="documents">The text.</param>
    /// <param name="size">Tokens wanted. There are fewer where the text has no pair left that occurs twice.</param>
    /// <param name="special">Tokens that text is never split into.</param>
    /// <exception cref="LowbitException">The size has no room for the bytes and the special tokens.</exception>
    public static TrainedTokens Train(IEnumerable<string> documents, int size, IReadOnlyList<string> special)
    {
        int first = special.Count + 256;
        if (size < first) throw new LowbitException($"a vocabulary of {size} tokens was asked for; a byte-level one needs at least {first}, for the bytes and {special.Count} special tokens.");
        List<byte[]> tokens = [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })];
        List<(int, int)> merges = [];
        Words words = new(Count(documents));
        while (special.Count + tokens.Count < size && words.TakeMostFrequent() is { } pair)
        {
            words.Merge(pair, tokens.Count);
            merges.Add(pair);
            tokens.Add([.. tokens[pair.Left], .. tokens[pair.Right]]);
        }
        return new TrainedTokens(special, tokens, merges);
    }

    private static Dictionary<string, int> Count(IEnumerable<string> documents)
    {
        PreTokenizationStep split = PreTokenization.Split(PreTokenization.Gpt2Pattern);
        Dictionary<string, int> counts = [];
        foreach (string document in documents)
        {
            PieceList pieces = new(document, IsBeginning: true);
            split(pieces, WorkMeter.ForText(document.Length));
            foreach ((int start, int end) in pieces.Pieces)
            {
                string word = pieces.Text[start..end];
                counts[word] = counts.GetValueOrDefault(word) + 1;
            }
        }
        return counts;
    }

    // All different words, how often each occurs, and where every pair of neighbours is.
    private sealed class Words
    {
        private readonly List<int>[] _words;
        private readonly int[] _counts;
        private readonly Dictionary<(int Left, int Right), long> _frequency = [];
        private readonly Dictionary<(int Left, int Right), HashSet<int>> _places = [];
        private readonly PriorityQueue<(int Left, int Right), (long, int, int)> _queue = new();

        public Words(Dictionary<string, int> counts)
        {
            // In a fixed order, though none of the sums depends on it.
            string[] all = [.. counts.Keys.Order(StringComparer.Ordinal)];
            _words = [.. all.Select(word => System.Text.Encoding.UTF8.GetBytes(word).Select(value => (int)value).ToList())];
            _counts = [.. all.Select(word => counts[word])];
            for (int w = 0; w < _words.Length; w++) AddPairs(w, 1);
            foreach (((int left, int right), long frequency) in _frequency) _queue.Enqueue((left, right), (-frequency, left, right));
        }

        // The queue may hold a pair more than once; an entry counts only if its frequency still holds.
        public (int Left, int Right)? TakeMostFrequent()
        {
            while (_queue.TryDequeue(out (int Left, int Right) pair, out (long Negative, int, int) key))
            {
                if (_frequency.GetValueOrDefault(pair) != -key.Negative) continue;
                return -key.Negative >= 2 ? pair : null;
            }
            return null;
        }

        public void Merge((int Left, int Right) pair, int token)
        {
            HashSet<(int, int)> changed = [];
            foreach (int w in _places[pair].ToArray())
            {
                changed.UnionWith(AddPairs(w, -1));
                List<int> word = _words[w];
                for (int i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i] != pair.Left || word[i + 1] != pair.Right) continue;
                    word[i] = token;
                    word.RemoveAt(i + 1);
                }
                changed.UnionWith(AddPairs(w, 1));
            }
            foreach ((int left, int right) in changed)
            {
                long frequency = _frequency[(left, right)];
                if (frequency > 0) _queue.Enqueue((left, right), (-frequency, left, right));
            }
        }

        // Adds or takes away all pairs of a word; returns them.
        private List<(int, int)> AddPairs(int w, int sign)
        {
            List<int> word = _words[w];
            List<(int, int)> pairs = [];
            for (int i = 0; i + 1 < word.Count; i++)
            {
                (int, int) pair = (word[i], word[i + 1]);
                pairs.Add(pair);
                _frequency[pair] = _frequency.GetValueOrDefault(pair) + (long)sign * _counts[w];
                if (!_places.TryGetValue(pair, out HashSet<int>? places)) _places[pair] = places = [];
                if (sign > 0) places.Add(w);
                else places.Remove(w);
            }
            return pairs;
        }
    }
}
