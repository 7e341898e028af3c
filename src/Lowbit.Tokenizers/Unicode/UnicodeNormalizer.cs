using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;

namespace Lowbit.Tokenizers.Unicode;

/// <summary>
/// The four Unicode normalization forms (Unicode Standard Annex 15). The runtime's own need ICU, which is a native
/// library and is switched off in invariant globalization, where they silently return their input.
/// </summary>
internal sealed class UnicodeNormalizer
{
    private const int HangulSyllable = 0xAC00, HangulLead = 0x1100, HangulVowel = 0x1161, HangulTail = 0x11A7;
    private const int Vowels = 21, Tails = 28, Syllables = 19 * Vowels * Tails;

    private static readonly Lazy<UnicodeNormalizer> s_instance = new(() => new UnicodeNormalizer());

    private readonly Dictionary<int, int[]> _canonical = [];
    private readonly Dictionary<int, int[]> _compatible = [];
    private readonly Dictionary<(int, int), int> _composites = [];
    private readonly Dictionary<int, byte> _combiningClass = [];

    private UnicodeNormalizer()
    {
        using Stream stream = typeof(UnicodeNormalizer).Assembly.GetManifestResourceStream("decompositions.txt")!;
        using StreamReader reader = new(stream);
        while (reader.ReadLine() is { } line)
        {
            if (line[0] == '#') continue;
            if (line[0] == '@') ReadCombiningClass(line);
            else ReadDecomposition(line);
        }
    }

    /// <summary>Normalizes.</summary>
    /// <param name="text">Any string; lone surrogates stay as they are.</param>
    /// <param name="compatibility">NFKC or NFKD instead of NFC or NFD.</param>
    /// <param name="compose">NFC or NFKC instead of NFD or NFKD.</param>
    public static string Normalize(string text, bool compatibility, bool compose)
    {
        if (Ascii.IsValid(text)) return text; // ASCII is unchanged by all four forms
        List<int> runes = s_instance.Value.Decompose(text, compatibility);
        s_instance.Value.Order(runes);
        if (compose) s_instance.Value.Compose(runes);
        StringBuilder result = new(text.Length);
        foreach (int rune in runes)
        {
            if (rune < 0x10000) result.Append((char)rune);
            else result.Append(char.ConvertFromUtf32(rune));
        }
        return result.ToString();
    }

    private List<int> Decompose(string text, bool compatibility)
    {
        List<int> runes = new(text.Length + 16);
        for (int i = 0; i < text.Length; i++)
        {
            int rune = text[i];
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
                rune = char.ConvertToUtf32(text[i], text[++i]);
            Decompose(rune, compatibility, runes);
        }
        return runes;
    }

    private void Decompose(int rune, bool compatibility, List<int> runes)
    {
        if (rune < 0x80)
        {
            runes.Add(rune);
        }
        else if ((uint)(rune - HangulSyllable) < Syllables)
        {
            int index = rune - HangulSyllable;
            runes.Add(HangulLead + index / (Vowels * Tails));
            runes.Add(HangulVowel + index % (Vowels * Tails) / Tails);
            if (index % Tails != 0) runes.Add(HangulTail + index % Tails);
        }
        else if (_canonical.TryGetValue(rune, out int[]? parts) || (compatibility && _compatible.TryGetValue(rune, out parts)))
        {
            foreach (int part in parts) Decompose(part, compatibility, runes);
        }
        else
        {
            runes.Add(rune);
        }
    }

    /// <summary>Sorts every run of combining marks by combining class, equal ones in their order.</summary>
    private void Order(List<int> runes)
    {
        for (int start = 0; start < runes.Count; start++)
        {
            int end = start;
            while (end < runes.Count && CombiningClass(runes[end]) != 0) end++;
            if (end - start > 1)
            {
                long[] keys = new long[end - start];
                int[] marks = new int[end - start];
                for (int i = start; i < end; i++)
                {
                    keys[i - start] = ((long)CombiningClass(runes[i]) << 32) | (uint)i;
                    marks[i - start] = runes[i];
                }
                Array.Sort(keys, marks);
                for (int i = start; i < end; i++) runes[i] = marks[i - start];
            }
            start = end;
        }
    }

    private void Compose(List<int> runes)
    {
        int starter = -1, kept = 0, lastClass = -1; // lastClass: of the last mark kept after the starter, -1 when there is none
        for (int i = 0; i < runes.Count; i++)
        {
            int rune = runes[i];
            int combiningClass = CombiningClass(rune);
            if (starter >= 0 && lastClass < combiningClass && Composite(runes[starter], rune) is int composite)
            {
                runes[starter] = composite;
                continue;
            }
            if (combiningClass == 0)
            {
                starter = kept;
                lastClass = -1;
            }
            else
            {
                lastClass = combiningClass;
            }
            runes[kept++] = rune;
        }
        runes.RemoveRange(kept, runes.Count - kept);
    }

    private int? Composite(int first, int second)
    {
        if ((uint)(first - HangulLead) < 19 && (uint)(second - HangulVowel) < Vowels)
            return HangulSyllable + ((first - HangulLead) * Vowels + second - HangulVowel) * Tails;
        if ((uint)(first - HangulSyllable) < Syllables && (first - HangulSyllable) % Tails == 0 && second > HangulTail && second < HangulTail + Tails)
            return first + second - HangulTail;
        return _composites.TryGetValue((first, second), out int composite) ? composite : null;
    }

    private int CombiningClass(int rune) => rune >= 0x300 && _combiningClass.TryGetValue(rune, out byte value) ? value : 0;

    private void ReadDecomposition(string line)
    {
        int sign = line.AsSpan().IndexOfAny('=', ':', '~');
        int rune = Hex(line.AsSpan(0, sign));
        int[] parts = Array.ConvertAll(line[(sign + 1)..].Split(' '), part => Hex(part));
        (line[sign] == '~' ? _compatible : _canonical).Add(rune, parts);
        if (line[sign] == '=') _composites.Add((parts[0], parts[1]), rune);
    }

    private void ReadCombiningClass(string line)
    {
        string[] fields = line[1..].Split(' ');
        byte combiningClass = byte.Parse(fields[0], CultureInfo.InvariantCulture);
        foreach (string field in fields.AsSpan(1))
        {
            int dash = field.IndexOf('-', StringComparison.Ordinal);
            int first = Hex(dash < 0 ? field : field.AsSpan(0, dash)), last = dash < 0 ? first : Hex(field.AsSpan(dash + 1));
            for (int rune = first; rune <= last; rune++) _combiningClass.Add(rune, combiningClass);
        }
    }

    private static int Hex(ReadOnlySpan<char> digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
