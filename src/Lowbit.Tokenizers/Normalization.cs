using System;
using System.Collections.Generic;
using System.Text;
using Lowbit.Tokenizers.Patterns;
using Lowbit.Tokenizers.Unicode;

namespace Lowbit.Tokenizers;

/// <summary>One change of the text before it is cut.</summary>
internal delegate string NormalizationStep(string text, WorkMeter meter);

/// <summary>The changes that tokenizer files ask for.</summary>
internal static class Normalization
{
    public static NormalizationStep Unicode(bool compatibility, bool compose) =>
        (text, _) => UnicodeNormalizer.Normalize(text, compatibility, compose);

    public static NormalizationStep Lowercase() => (text, _) => text.ToLowerInvariant();

    public static NormalizationStep Prepend(string prefix) => (text, _) => text.Length == 0 ? text : prefix + text;

    public static NormalizationStep Replace(string from, string to) =>
        (text, _) => from.Length == 0 ? text : text.Replace(from, to, StringComparison.Ordinal);

    public static NormalizationStep Replace(RunePattern pattern, string to) => (text, meter) =>
    {
        List<(int Start, int End)> matches = [];
        pattern.FindAll(text, meter, matches);
        StringBuilder result = new();
        int at = 0;
        foreach ((int start, int end) in matches)
        {
            result.Append(text, at, start - at).Append(to);
            at = end;
        }
        return result.Append(text, at, text.Length - at).ToString();
    };

    public static NormalizationStep Strip(bool left, bool right) =>
        (text, _) => (left, right) switch { (true, true) => text.Trim(), (true, false) => text.TrimStart(), (false, true) => text.TrimEnd(), _ => text };

    /// <summary>SentencePiece's treatment of blanks: no leading, trailing or double ones, one before the text, and a mark for each.</summary>
    public static NormalizationStep SentencePiece(bool removeExtraBlanks, bool prependBlank) => (text, _) =>
    {
        if (removeExtraBlanks) text = string.Join(' ', text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        if (text.Length == 0) return text;
        return (prependBlank ? SubwordModel.BlankMark : "") + text.Replace(" ", SubwordModel.BlankMark, StringComparison.Ordinal);
    };
}
