using System;
using System.Text;

namespace Lowbit.Formats;

/// <summary>Texts from files as they may stand in a message.</summary>
internal static class Quoted
{
    private const int Longest = 80;

    /// <summary>The text in quotes, shortened, with control characters replaced so that a terminal is safe from it.</summary>
    internal static string Text(string text)
    {
        StringBuilder result = new("'");
        foreach (char c in text.AsSpan(0, Math.Min(text.Length, Longest))) result.Append(char.IsControl(c) ? '?' : c);
        if (text.Length > Longest) result.Append('…');
        return result.Append('\'').ToString();
    }
}
