using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Files;

/// <summary>
/// The merges that SentencePiece's scores stand for: two tokens merge when they make a token, the one with the highest
/// score first, and of equal ones the leftmost; so every cut of every token into two tokens is a merge.
/// </summary>
internal static class ScoredMerges
{
    private const int LongestToken = 1000; // bytes; every cut is looked up

    /// <summary>Makes the table.</summary>
    /// <param name="vocabulary">The tokens.</param>
    /// <param name="scores">Their scores.</param>
    /// <param name="isNormal">Whether a token takes part.</param>
    /// <exception cref="LowbitException">A token is longer than any real one.</exception>
    public static MergeTable Of(Vocabulary vocabulary, IReadOnlyList<float> scores, Func<int, bool> isNormal)
    {
        if (vocabulary.LongestToken > LongestToken)
            throw new LowbitException($"the vocabulary has a token of {vocabulary.LongestToken} bytes where at most {LongestToken} are expected; get the file again.");
        float[] distinct = [.. scores.Distinct().OrderDescending()];
        Dictionary<float, int> ranks = [];
        for (int i = 0; i < distinct.Length; i++) ranks[distinct[i]] = i;
        MergeTable merges = new(vocabulary.Count);
        for (int id = 0; id < vocabulary.Count; id++)
        {
            ReadOnlySpan<byte> token = vocabulary[id];
            if (!isNormal(id) || vocabulary.Find(token) != id) continue; // a double can never be found
            for (int cut = 1; cut < token.Length; cut++)
            {
                if ((token[cut] & 0xC0) == 0x80) continue; // inside of a character
                int left = vocabulary.Find(token[..cut]);
                if (left < 0 || !isNormal(left)) continue;
                int right = vocabulary.Find(token[cut..]);
                if (right >= 0 && isNormal(right)) merges.Add(left, right, ranks[scores[id]], id);
            }
        }
        return merges;
    }
}
