using System;
using System.Collections.Generic;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Tokenizers.Chat;

/// <summary>The kinds of tokens in a template.</summary>
internal enum TokenType
{
    Data,
    BlockBegin,
    BlockEnd,
    PrintBegin,
    PrintEnd,
    Name,
    Text,
    Integer,
    Real,
    Operator,
    End,
}

/// <summary>A token, what it says and where it stands.</summary>
internal readonly record struct TemplateToken(TokenType Type, string Value, int Line)
{
    public override string ToString() => Type == TokenType.End ? "the end" : $"«{Value}»";
}

/// <summary>
/// Cuts a template into tokens, with the treatment of white space that transformers chose: <c>trim_blocks</c> (the line end
/// after a block goes) and <c>lstrip_blocks</c> (blanks before a block that begins its line go).
/// </summary>
internal sealed class TemplateLexer
{
    private const int LongestName = 1000; // every use of a name looks it up
    private static readonly string[] s_operators = ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", "|", ",", ".", ":"];

    private readonly string _source;
    private readonly List<TemplateToken> _tokens = [];
    private int _at;
    private int _line = 1;

    private TemplateLexer(string source) => _source = source;

    /// <summary>Cuts.</summary>
    /// <exception cref="LowbitException">A tag or a string is not closed, or a character has no meaning.</exception>
    public static List<TemplateToken> Cut(string template)
    {
        string source = template.Replace("\r\n", "\n", StringComparison.Ordinal);
        if (source.EndsWith('\n')) source = source[..^1]; // as Jinja: one line end at the end of the file is not part of the text
        TemplateLexer lexer = new(source);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        bool trimLeft = false; // the tag before ended with a minus
        while (_at < _source.Length)
        {
            int tag = NextTag();
            AddData(tag, trimLeft);
            if (tag == _source.Length) break;
            char kind = _source[tag + 1];
            Advance(tag + 2);
            if (_at < _source.Length && _source[_at] is '-' or '+') Advance(_at + 1);
            trimLeft = kind switch
            {
                '#' => SkipComment(),
                '%' => Tag(TokenType.BlockBegin, TokenType.BlockEnd, "%}"),
                _ => Tag(TokenType.PrintBegin, TokenType.PrintEnd, "}}"),
            };
        }
        _tokens.Add(new TemplateToken(TokenType.End, "", _line));
    }

    private int NextTag()
    {
        for (int i = _at; (i = _source.IndexOf('{', i)) >= 0 && i + 1 < _source.Length; i++)
        {
            if (_source[i + 1] is '{' or '%' or '#') return i;
        }
        return _source.Length;
    }

    private void AddData(int end, bool trimLeft)
    {
        int start = _at, stop = end;
        if (trimLeft)
        {
            while (start < stop && char.IsWhiteSpace(_source[start])) start++;
        }
        if (end < _source.Length)
        {
            char sign = end + 2 < _source.Length ? _source[end + 2] : ' ';
            if (sign == '-')
            {
                while (stop > start && char.IsWhiteSpace(_source[stop - 1])) stop--;
            }
            else if (sign != '+' && _source[end + 1] != '{')
            {
                int blank = stop;
                while (blank > start && _source[blank - 1] != '\n' && char.IsWhiteSpace(_source[blank - 1])) blank--;
                if (blank == 0 || _source[blank - 1] == '\n') stop = blank;
            }
        }
        int line = _line;
        Advance(end);
        if (stop > start) _tokens.Add(new TemplateToken(TokenType.Data, _source[start..stop], line));
    }

    /// <summary>Goes behind the closing mark; true when it asks to trim what follows.</summary>
    private bool Close(int end, bool isBlock)
    {
        bool minus = _source[end - 1] == '-', plus = _source[end - 1] == '+';
        Advance(end + 2);
        if (isBlock && !minus && !plus && _at < _source.Length && _source[_at] == '\n') Advance(_at + 1);
        return minus;
    }

    private bool SkipComment()
    {
        int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0) throw Bad("a comment that is not closed", "#}");
        return Close(end, isBlock: true);
    }

    private bool Tag(TokenType begin, TokenType endType, string close)
    {
        int first = _tokens.Count;
        _tokens.Add(new TemplateToken(begin, close == "%}" ? "{%" : "{{", _line));
        int depth = 0; // of braces, so that }} can close a dictionary
        while (true)
        {
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at])) Advance(_at + 1);
            if (_at >= _source.Length) throw Bad("a tag that is not closed", close);
            bool signed = _source[_at] is '-' or '+';
            if (depth == 0 && string.CompareOrdinal(_source, _at + (signed ? 1 : 0), close, 0, 2) == 0)
            {
                _tokens.Add(new TemplateToken(endType, close, _line));
                bool trim = Close(_at + (signed ? 1 : 0), isBlock: close == "%}");
                return IsRaw(first) ? Raw(first, trim) : trim;
            }
            TemplateToken token = Next();
            if (token is { Type: TokenType.Operator, Value: "{" }) depth++;
            if (token is { Type: TokenType.Operator, Value: "}" }) depth--;
            _tokens.Add(token);
        }
    }

    private bool IsRaw(int first) => _tokens.Count == first + 3 && _tokens[first].Type == TokenType.BlockBegin && _tokens[first + 1] is { Type: TokenType.Name, Value: "raw" };

    private bool Raw(int first, bool trimLeft)
    {
        _tokens.RemoveRange(first, 3);
        const string end = "endraw";
        for (int tag = _at; (tag = _source.IndexOf("{%", tag, StringComparison.Ordinal)) >= 0; tag += 2)
        {
            int name = SkipSigns(tag + 2);
            if (!_source.AsSpan(name).StartsWith(end, StringComparison.Ordinal)) continue;
            int close = SkipSigns(name + end.Length);
            if (!_source.AsSpan(close).StartsWith("%}", StringComparison.Ordinal)) continue;
            AddData(tag, trimLeft);
            return Close(close, isBlock: true);
        }
        throw Bad("a raw block that is not closed", "{% endraw %}");
    }

    private int SkipSigns(int at)
    {
        while (at < _source.Length && _source[at] is '-' or '+' or ' ' or '\n' or '\t') at++;
        return at;
    }

    private TemplateToken Next()
    {
        char first = _source[_at];
        int start = _at, line = _line;
        if (char.IsLetter(first) || first == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_')) _at++;
            if (_at - start > LongestName) throw Bad($"a name of {_at - start} characters", $"one of at most {LongestName}");
            return new TemplateToken(TokenType.Name, _source[start.._at], line);
        }
        if (char.IsAsciiDigit(first)) return Number();
        if (first is '\'' or '"') return new TemplateToken(TokenType.Text, QuotedText(first), line);
        foreach (string symbol in s_operators)
        {
            if (string.CompareOrdinal(_source, _at, symbol, 0, symbol.Length) != 0) continue;
            _at += symbol.Length;
            return new TemplateToken(TokenType.Operator, symbol, line);
        }
        throw Bad($"the character «{first}»", "an expression");
    }

    private TemplateToken Number()
    {
        int start = _at;
        while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || _source[_at] == '_')) _at++;
        bool real = _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]);
        if (real)
        {
            _at++;
            while (_at < _source.Length && char.IsAsciiDigit(_source[_at])) _at++;
        }
        return new TemplateToken(real ? TokenType.Real : TokenType.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal), _line);
    }

    private string QuotedText(char quote)
    {
        StringBuilder text = new();
        for (int i = _at + 1; i < _source.Length; i++)
        {
            char letter = _source[i];
            if (letter == quote)
            {
                Advance(i + 1);
                return text.ToString();
            }
            if (letter != '\\' || i + 1 >= _source.Length)
            {
                text.Append(letter);
                continue;
            }
            letter = _source[++i];
            switch (letter)
            {
                case 'n': text.Append('\n'); break;
                case 't': text.Append('\t'); break;
                case 'r': text.Append('\r'); break;
                case '\\' or '\'' or '"': text.Append(letter); break;
                case '\n': break;
                case 'u' when i + 4 < _source.Length && ushort.TryParse(_source.AsSpan(i + 1, 4), System.Globalization.NumberStyles.AllowHexSpecifier, null, out ushort code):
                    text.Append((char)code);
                    i += 4;
                    break;
                case 'x' when i + 2 < _source.Length && byte.TryParse(_source.AsSpan(i + 1, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte value):
                    text.Append((char)value);
                    i += 2;
                    break;
                default: text.Append('\\').Append(letter); break;
            }
        }
        throw Bad("a string that is not closed", quote.ToString());
    }

    private void Advance(int to)
    {
        for (; _at < to; _at++)
        {
            if (_source[_at] == '\n') _line++;
        }
    }

    private LowbitException Bad(string found, string expected) => TemplateFault.At(_line, found, expected);
}

/// <summary>The one form of complaint about a template.</summary>
internal static class TemplateFault
{
    public static LowbitException At(int line, string found, string expected) =>
        new($"chat template, line {line}: found {found} where {expected} is expected; correct the template, or give another one.");
}
