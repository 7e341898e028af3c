using System.Collections.Generic;
using System.Text;
using Lowbit.Tokenizers;

namespace Lowbit.Inference;

/// <summary>Text to calibrate with and to measure on: tokenized as it stands, without special tokens of any kind.</summary>
public static class PlainText
{
    /// <summary>Turns text into ids.</summary>
    /// <param name="tokenizer">The model's.</param>
    /// <param name="text">The text.</param>
    /// <returns>
    /// The ids. Characters that the vocabulary lacks are left out, as transformers 5 does: the token for the unknown says
    /// nothing of a text. Vocabularies with all 256 bytes lack none.
    /// </returns>
    public static List<int> Encode(Tokenizer tokenizer, string text)
    {
        List<int> ids = tokenizer.Encode(text, addSpecial: false, parseSpecial: false);
        if (!HasSpecial(tokenizer, ids)) return ids;
        // The characters go, not their tokens: what stands before and behind them may merge.
        var unknown = new Dictionary<Rune, bool>();
        var known = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (!unknown.TryGetValue(rune, out bool isUnknown))
                unknown[rune] = isUnknown = HasSpecial(tokenizer, tokenizer.Encode(rune.ToString(), addSpecial: false, parseSpecial: false));
            if (!isUnknown) known.Append(rune);
        }
        return tokenizer.Encode(known.ToString(), addSpecial: false, parseSpecial: false);
    }

    // Special tokens are neither added nor parsed, so one that comes all the same stands for something unknown.
    private static bool HasSpecial(Tokenizer tokenizer, List<int> ids) => ids.Exists(tokenizer.IsSpecial);
}
