using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Patterns;

/// <summary>Reads the regular expressions of tokenizer files: the dialect of Oniguruma, as far as such files use it.</summary>
internal ref struct PatternParser(string pattern)
{
    private const int DeepestNesting = 50;

    private readonly ReadOnlySpan<char> _pattern = pattern;
    private int _at;
    private int _depth;
    private bool _ignoreCase;

    /// <summary>Parses the whole pattern.</summary>
    /// <exception cref="LowbitException">Something in it is not understood.</exception>
    public PatternNode Parse()
    {
        PatternNode node = Alternatives();
        if (_at < _pattern.Length) throw Bad("a closing bracket without an opening one");
        return node;
    }

    private PatternNode Alternatives()
    {
        if (++_depth > DeepestNesting) throw Bad($"more than {DeepestNesting} nested groups");
        List<PatternNode> choices = [Sequence()];
        while (Take('|')) choices.Add(Sequence());
        _depth--;
        return choices.Count == 1 ? choices[0] : new PatternNode.Either(choices);
    }

    private PatternNode Sequence()
    {
        List<PatternNode> parts = [];
        while (_at < _pattern.Length && _pattern[_at] is not ('|' or ')'))
        {
            if (Atom() is not { } atom) continue;
            while (Quantifier(out int minimum, out int maximum, out Greed greed)) atom = new PatternNode.Repeat(atom, minimum, maximum, greed);
            parts.Add(atom);
        }
        return parts.Count == 1 ? parts[0] : new PatternNode.Sequence(parts);
    }

    /// <summary>One thing that can be repeated; null for flags, which only change what follows.</summary>
    private PatternNode? Atom()
    {
        switch (_pattern[_at])
        {
            case '(':
                _at++;
                return Group();
            case '[':
                return new PatternNode.OneOf(Class());
            case '.':
                _at++;
                return new PatternNode.OneOf(RuneClass.NotLineFeed);
            case '^':
                _at++;
                return new PatternNode.At(Anchor.LineStart);
            case '$':
                _at++;
                return new PatternNode.At(Anchor.LineEnd);
            case '*' or '+' or '?':
                throw Bad("a quantifier with nothing before it");
            case '\\' when _at + 1 < _pattern.Length && AnchorOf(_pattern[_at + 1]) is { } anchor:
                _at += 2;
                return new PatternNode.At(anchor);
            default:
                return new PatternNode.OneOf(EscapedClass() ?? Literal(Character()));
        }
    }

    private static Anchor? AnchorOf(char letter) => letter switch
    {
        'A' => Anchor.TextStart,
        'z' or 'Z' => Anchor.TextEnd,
        'b' => Anchor.WordBoundary,
        'B' => Anchor.NoWordBoundary,
        _ => null,
    };

    private PatternNode? Group()
    {
        bool outer = _ignoreCase;
        PatternNode node;
        if (Take("?=")) node = new PatternNode.Look(Alternatives(), Ahead: true, Negative: false);
        else if (Take("?!")) node = new PatternNode.Look(Alternatives(), Ahead: true, Negative: true);
        else if (Take("?<=")) node = new PatternNode.Look(Alternatives(), Ahead: false, Negative: false);
        else if (Take("?<!")) node = new PatternNode.Look(Alternatives(), Ahead: false, Negative: true);
        else if (Take("?>")) node = new PatternNode.Atomic(Alternatives());
        else if (Take("?:")) node = Alternatives();
        else if (Take("?"))
        {
            if (!Flags()) return null;
            node = Alternatives();
        }
        else node = Alternatives();
        if (!Take(')')) throw Bad("a group that is not closed");
        _ignoreCase = outer;
        return node;
    }

    /// <summary>Reads <c>i:</c>, <c>-i:</c> or <c>i)</c>; true when a group follows.</summary>
    private bool Flags()
    {
        bool on = true;
        while (_at < _pattern.Length)
        {
            switch (_pattern[_at++])
            {
                case 'i': _ignoreCase = on; break;
                case '-': on = false; break;
                case ':': return true;
                case ')': return false;
                default: _at--; throw Bad("a kind of group that is not read");
            }
        }
        throw Bad("a group that is not closed");
    }

    private bool Quantifier(out int minimum, out int maximum, out Greed greed)
    {
        (minimum, maximum, greed) = (0, int.MaxValue, Greed.Greedy);
        if (Take('+')) minimum = 1;
        else if (Take('?')) maximum = 1;
        else if (!Take('*'))
        {
            if (!Counted(ref minimum, ref maximum)) return false;
            if (Take('?')) greed = Greed.Lazy;
            return true; // {m,n}+ repeats the repetition: only +, * and ? have a possessive form
        }
        if (Take('?')) greed = Greed.Lazy;
        else if (Take('+')) greed = Greed.Possessive;
        return true;
    }

    private bool Counted(ref int minimum, ref int maximum)
    {
        int start = _at;
        if (Take('{'))
        {
            int? first = Number();
            bool comma = Take(',');
            int? second = comma ? Number() : first;
            if (Take('}') && (first ?? second) is not null)
            {
                minimum = first ?? 0;
                maximum = second ?? int.MaxValue;
                if (minimum > maximum) throw Bad("a repetition whose least count is above its greatest");
                return true;
            }
        }
        _at = start;
        return false;
    }

    private int? Number()
    {
        int start = _at;
        while (_at < _pattern.Length && char.IsAsciiDigit(_pattern[_at])) _at++;
        if (_at == start) return null;
        return _at - start <= 6 ? int.Parse(_pattern[start.._at], CultureInfo.InvariantCulture) : throw Bad("a repetition count above a million");
    }

    /// <summary>A bracket expression with ranges, escapes, nested brackets and intersections.</summary>
    private RuneClass Class()
    {
        if (++_depth > DeepestNesting) throw Bad($"more than {DeepestNesting} nested brackets");
        _at++;
        RuneClass.Builder builder = new() { Negated = Take('^'), IgnoreCase = _ignoreCase };
        for (bool first = true; ; first = false)
        {
            if (_at >= _pattern.Length) throw Bad("a bracket that is not closed");
            if (Take(']'))
            {
                if (!first) break;
                builder.Ranges.Add((']', ']'));
            }
            else if (Peek("[:")) throw Bad("a named class of POSIX");
            else if (_pattern[_at] == '[') builder.Union.Add(Class());
            else if (Take("&&"))
            {
                _at--; // the rest, up to the closing bracket, is a class of its own
                builder.Intersection.Add(Class());
                break;
            }
            else if (EscapedClass() is { } set) builder.Union.Add(set);
            else Range(builder);
        }
        _depth--;
        return builder.Build();
    }

    private void Range(RuneClass.Builder builder)
    {
        int first = Character(), last = first;
        if (_at + 1 < _pattern.Length && _pattern[_at] == '-' && _pattern[_at + 1] != ']')
        {
            _at++;
            last = Character();
            if (last < first) throw Bad("a range whose end is before its beginning");
        }
        builder.Ranges.Add((first, last));
    }

    /// <summary>The set of <c>\s</c>, <c>\p{..}</c> and the like; null, and nothing consumed, where none begins.</summary>
    private RuneClass? EscapedClass()
    {
        if (_pattern[_at] != '\\' || _at + 1 >= _pattern.Length) return null;
        char letter = _pattern[_at + 1];
        RuneClass? set = char.ToLowerInvariant(letter) switch
        {
            's' => RuneClass.Space,
            'd' => RuneClass.Digit,
            'w' => RuneClass.Word,
            _ => null,
        };
        if (letter is 'p' or 'P') return Property(letter == 'P');
        if (set is null) return null;
        _at += 2;
        return char.IsUpper(letter) ? Not(set) : set;
    }

    private RuneClass Property(bool negated)
    {
        int end = _pattern[_at..].IndexOf('}');
        if (end < 0 || _pattern[_at + 2] != '{') throw Bad(@"\p without a name in braces");
        string name = _pattern.Slice(_at + 3, end - 3).ToString();
        if (name.StartsWith('^')) (name, negated) = (name[1..], !negated);
        RuneClass set = RuneClass.Category(name) ?? throw Bad($"the property «{name}», which is not known");
        _at += end + 1;
        return negated ? Not(set) : set;
    }

    private int Character()
    {
        if (!Take('\\'))
        {
            Rune.DecodeFromUtf16(_pattern[_at..], out Rune rune, out int length);
            _at += length;
            return rune.Value;
        }
        if (_at >= _pattern.Length) throw Bad("a backslash at the end");
        char letter = _pattern[_at++];
        switch (letter)
        {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case 'f': return '\f';
            case 'v': return '\v';
            case 'a': return '\a';
            case 'e': return 0x1B;
            case 'u': return Hexadecimal(4, 4);
            case 'x' when Take('{'):
                int value = Hexadecimal(1, 6);
                return Take('}') ? value : throw Bad(@"\x{ without its closing brace");
            case 'x': return Hexadecimal(1, 2);
            default:
                return char.IsAsciiLetterOrDigit(letter) ? throw Bad($@"\{letter}, which is not known") : letter;
        }
    }

    private int Hexadecimal(int least, int most)
    {
        int start = _at;
        while (_at < _pattern.Length && _at - start < most && char.IsAsciiHexDigit(_pattern[_at])) _at++;
        if (_at - start < least) throw Bad("a code point without its digits");
        return int.Parse(_pattern[start.._at], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }

    private RuneClass Literal(int rune) => new RuneClass.Builder { Ranges = { (rune, rune) }, IgnoreCase = _ignoreCase }.Build();

    private static RuneClass Not(RuneClass set) => new RuneClass.Builder { Union = { set }, Negated = true }.Build();

    private readonly bool Peek(string text) => _pattern[_at..].StartsWith(text);

    private bool Take(string text)
    {
        if (!Peek(text)) return false;
        _at += text.Length;
        return true;
    }

    private bool Take(char letter)
    {
        if (_at >= _pattern.Length || _pattern[_at] != letter) return false;
        _at++;
        return true;
    }

    private readonly LowbitException Bad(string found) =>
        new($"the pattern «{pattern}» has {found} at character {_at}; use a tokenizer whose patterns are plain groups, classes and quantifiers.");
}
