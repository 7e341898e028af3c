using System;
using System.Collections.Generic;
using System.Text;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>One cut (or change) of the pieces of a text.</summary>
internal delegate void PreTokenizationStep(PieceList pieces, WorkMeter meter);

/// <summary>What becomes of the matches of a splitting pattern.</summary>
internal enum SplitBehavior
{
    /// <summary>They are dropped.</summary>
    Removed,
    /// <summary>Each is a piece.</summary>
    Isolated,
    /// <summary>Each ends the piece before it.</summary>
    MergedWithPrevious,
    /// <summary>Each begins the piece after it.</summary>
    MergedWithNext,
    /// <summary>Neighbours are one piece.</summary>
    Contiguous,
}

/// <summary>A text and the pieces that no token may cross.</summary>
/// <param name="Text">The text.</param>
/// <param name="IsBeginning">Whether it stands at the beginning of what was to be encoded.</param>
internal sealed class PieceList(string Text, bool IsBeginning)
{
    /// <summary>The text.</summary>
    public string Text { get; private set; } = Text;

    /// <summary>Whether the text stands at the beginning of what was to be encoded.</summary>
    public bool IsBeginning { get; } = IsBeginning;

    /// <summary>Beginnings and ends, from left to right.</summary>
    public List<(int Start, int End)> Pieces { get; set; } = Text.Length == 0 ? [] : [(0, Text.Length)];

    /// <summary>Changes every piece.</summary>
    public void Rewrite(Func<string, int, string> change)
    {
        StringBuilder text = new(Text.Length);
        List<(int, int)> pieces = [];
        foreach ((int start, int end) in Pieces)
        {
            int newStart = text.Length;
            text.Append(change(Text[start..end], start));
            if (text.Length > newStart) pieces.Add((newStart, text.Length));
        }
        (Text, Pieces) = (text.ToString(), pieces);
    }
}

/// <summary>The cuts that tokenizer files ask for.</summary>
internal static class PreTokenization
{
    /// <summary>GPT-2's pattern, which <c>ByteLevel</c> with <c>use_regex</c> means.</summary>
    public const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    public static PreTokenizationStep Split(string pattern, SplitBehavior behavior = SplitBehavior.Isolated, bool invert = false)
    {
        RunePattern compiled = new(pattern);
        return (pieces, meter) =>
        {
            List<(int Start, int End)> result = new(pieces.Pieces.Count), matches = [];
            List<(int Start, int End, bool IsMatch)> parts = [];
            foreach ((int start, int end) in pieces.Pieces)
            {
                matches.Clear();
                parts.Clear();
                compiled.FindAll(pieces.Text.AsSpan(start, end - start), meter, matches);
                int at = start;
                foreach ((int matchStart, int matchEnd) in matches)
                {
                    if (start + matchStart > at) parts.Add((at, start + matchStart, invert));
                    parts.Add((start + matchStart, start + matchEnd, !invert));
                    at = start + matchEnd;
                }
                if (at < end) parts.Add((at, end, invert));
                Join(parts, behavior, result);
            }
            result.RemoveAll(piece => piece.Start == piece.End);
            pieces.Pieces = result;
        };
    }

    /// <summary>Puts a blank before every piece that has none.</summary>
    public static PreTokenizationStep PrefixBlank() =>
        (pieces, _) => pieces.Rewrite((piece, _) => piece[0] == ' ' ? piece : " " + piece);

    /// <summary>SentencePiece's blank marks: one for every blank, and one before the text.</summary>
    /// <param name="mark">The mark.</param>
    /// <param name="prepend">Whether a piece that begins without a mark gets one.</param>
    /// <param name="onlyAtBeginning">Only at the beginning of the whole text.</param>
    public static PreTokenizationStep BlankMarks(string mark, bool prepend, bool onlyAtBeginning) => (pieces, _) => pieces.Rewrite((piece, start) =>
    {
        string marked = piece.Replace(" ", mark, StringComparison.Ordinal);
        bool add = prepend && !marked.StartsWith(mark, StringComparison.Ordinal) && (!onlyAtBeginning || (pieces.IsBeginning && start == 0));
        return add ? mark + marked : marked;
    });

    private static void Join(List<(int Start, int End, bool IsMatch)> parts, SplitBehavior behavior, List<(int Start, int End)> result)
    {
        int first = result.Count;
        for (int i = 0; i < parts.Count; i++)
        {
            (int start, int end, bool isMatch) = parts[i];
            bool joins = result.Count > first && behavior switch
            {
                SplitBehavior.MergedWithPrevious => isMatch && !parts[i - 1].IsMatch,
                SplitBehavior.MergedWithNext => !isMatch && parts[i - 1].IsMatch,
                SplitBehavior.Contiguous => isMatch == parts[i - 1].IsMatch,
                _ => false,
            };
            if (joins) result[^1] = (result[^1].Start, end);
            else if (!isMatch || behavior != SplitBehavior.Removed) result.Add((start, end));
        }
    }
}
