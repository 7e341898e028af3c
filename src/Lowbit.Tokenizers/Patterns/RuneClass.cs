using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lowbit.Tokenizers.Patterns;

/// <summary>A set of code points: ranges, general categories and other sets, possibly negated.</summary>
internal sealed class RuneClass
{
    private readonly (int First, int Last)[] _ranges;
    private readonly uint _categories; // bit i: UnicodeCategory i
    private readonly RuneClass[] _union, _intersection;
    private readonly bool _negated, _ignoreCase;
    private readonly ulong _low, _high; // bit i: code point i, or 64 + i, is in the set

    private RuneClass(Builder builder)
    {
        _ranges = Merge(builder.Ranges);
        _categories = builder.Categories;
        _union = [.. builder.Union];
        _intersection = [.. builder.Intersection];
        _negated = builder.Negated;
        _ignoreCase = builder.IgnoreCase;
        for (int rune = 0; rune < 128; rune++)
        {
            if (!Evaluate(rune)) continue;
            if (rune < 64) _low |= 1UL << rune;
            else _high |= 1UL << rune;
        }
    }

    /// <summary>Everything but the line feed, what a dot means.</summary>
    public static RuneClass NotLineFeed { get; } = new Builder { Negated = true, Ranges = { ('\n', '\n') } }.Build();

    /// <summary>Everything.</summary>
    public static RuneClass Any { get; } = new Builder { Negated = true }.Build();

    /// <summary><c>\s</c>: Unicode white space.</summary>
    public static RuneClass Space { get; } = Category("Z", (9, 13), (0x85, 0x85))!;

    /// <summary><c>\d</c>: decimal digits of every script.</summary>
    public static RuneClass Digit { get; } = Category("Nd")!;

    /// <summary><c>\w</c>: letters, marks, digits, letter numbers and connectors.</summary>
    public static RuneClass Word { get; } = new Builder { Union = { Category("L")!, Category("M")!, Category("Nd")!, Category("Nl")!, Category("Pc")! } }.Build();

    /// <summary>ASCII punctuation and the category P.</summary>
    public static RuneClass Punctuation { get; } = Category("P", ('!', '/'), (':', '@'), ('[', '`'), ('{', '~'))!;

    /// <summary>The set of one general category, or of one letter for all that begin with it; null when there is none of that name.</summary>
    public static RuneClass? Category(string name, params ReadOnlySpan<(int, int)> more)
    {
        uint categories = name switch
        {
            "L" or "Letter" => Mask(0, 4),
            "LC" or "L&" => Mask(0, 2),
            "Lu" => Mask(0, 0),
            "Ll" => Mask(1, 1),
            "Lt" => Mask(2, 2),
            "Lm" => Mask(3, 3),
            "Lo" => Mask(4, 4),
            "M" or "Mark" => Mask(5, 7),
            "Mn" => Mask(5, 5),
            "Mc" => Mask(6, 6),
            "Me" => Mask(7, 7),
            "N" or "Number" => Mask(8, 10),
            "Nd" => Mask(8, 8),
            "Nl" => Mask(9, 9),
            "No" => Mask(10, 10),
            "Z" or "Separator" => Mask(11, 13),
            "Zs" => Mask(11, 11),
            "Zl" => Mask(12, 12),
            "Zp" => Mask(13, 13),
            "C" or "Other" => Mask(14, 17) | Mask(29, 29),
            "Cc" => Mask(14, 14),
            "Cf" => Mask(15, 15),
            "Cs" => Mask(16, 16),
            "Co" => Mask(17, 17),
            "Cn" => Mask(29, 29),
            "P" or "Punctuation" => Mask(18, 24),
            "Pc" => Mask(18, 18),
            "Pd" => Mask(19, 19),
            "Ps" => Mask(20, 20),
            "Pe" => Mask(21, 21),
            "Pi" => Mask(22, 22),
            "Pf" => Mask(23, 23),
            "Po" => Mask(24, 24),
            "S" or "Symbol" => Mask(25, 28),
            "Sm" => Mask(25, 25),
            "Sc" => Mask(26, 26),
            "Sk" => Mask(27, 27),
            "So" => Mask(28, 28),
            _ => 0,
        };
        if (name == "Han") more = s_han;
        else if (categories == 0) return null;
        return new Builder { Categories = categories, Ranges = [.. more] }.Build();
    }

    // The script Han of Unicode 16; the runtime knows categories, not scripts.
    private static readonly (int, int)[] s_han =
    [
        (0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029), (0x3038, 0x303B),
        (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3), (0x16FF0, 0x16FF1), (0x20000, 0x2A6DF),
        (0x2A700, 0x2B739), (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2EBF0, 0x2EE5D), (0x2F800, 0x2FA1D),
        (0x30000, 0x3134A), (0x31350, 0x323AF),
    ];

    /// <summary>Whether the code point is in the set.</summary>
    public bool Contains(int rune) => rune < 128 ? (((rune < 64 ? _low : _high) >> rune) & 1) != 0 : Evaluate(rune);

    private static uint Mask(int first, int last) => (uint)((2UL << last) - (1UL << first));

    private bool Evaluate(int rune)
    {
        bool found = Holds(rune);
        if (!found && _ignoreCase && Rune.TryCreate(rune, out Rune valid))
            found = Holds(Rune.ToLowerInvariant(valid).Value) || Holds(Rune.ToUpperInvariant(valid).Value);
        if (found)
        {
            foreach (RuneClass other in _intersection) found &= other.Contains(rune);
        }
        return found != _negated;
    }

    private bool Holds(int rune)
    {
        if (_categories != 0 && ((_categories >> (int)CharUnicodeInfo.GetUnicodeCategory(rune)) & 1) != 0) return true;
        int low = 0, high = _ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            if (rune < _ranges[middle].First) high = middle - 1;
            else if (rune > _ranges[middle].Last) low = middle + 1;
            else return true;
        }
        foreach (RuneClass other in _union)
        {
            if (other.Contains(rune)) return true;
        }
        return false;
    }

    private static (int, int)[] Merge(List<(int First, int Last)> ranges)
    {
        List<(int First, int Last)> merged = [];
        ranges.Sort();
        foreach ((int first, int last) in ranges)
        {
            if (merged.Count > 0 && first <= merged[^1].Last + 1) merged[^1] = (merged[^1].First, Math.Max(last, merged[^1].Last));
            else merged.Add((first, last));
        }
        return [.. merged];
    }

    /// <summary>Collects what a set is made of.</summary>
    internal sealed class Builder
    {
        public List<(int First, int Last)> Ranges { get; init; } = [];
        public List<RuneClass> Union { get; init; } = [];
        public List<RuneClass> Intersection { get; init; } = [];
        public uint Categories { get; init; }
        public bool Negated { get; set; }
        public bool IgnoreCase { get; init; }

        public RuneClass Build() => new(this);
    }
}
