using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;

namespace Lowbit.Tokenizers.Chat;

/// <summary>Runs a template: methods of strings, lists and dictionaries, filters and tests.</summary>
internal sealed partial class TemplateInterpreter
{
    private object? CallMethod(object? target, string name, List<object?> arguments, Map named)
    {
        switch (target)
        {
            case string text:
                _meter.Add(text.Length >> 3);
                return StringMethod(text, name, arguments, named);
            case Map map:
                if (name == "get") return Argument(0) is string key && TryGet(map, key, out object? value) ? value : Argument(1);
                _meter.Add(map.Count);
                switch (name)
                {
                    case "items": return map.Select(pair => (object?)new List<object?> { pair.Key, pair.Value }).ToList();
                    case "keys": return map.Keys.ToList<object?>();
                    case "values": return map.Values.ToList();
                }
                break;
            case List<object?> list:
                switch (name)
                {
                    case "count": return (long)list.Count(item => TemplateValues.AreEqual(item, Argument(0), _meter));
                    case "index" when list.FindIndex(item => TemplateValues.AreEqual(item, Argument(0), _meter)) is >= 0 and int index: return (long)index;
                }
                break;
        }
        throw Fault($"the method {name} of {Describe(target)}", "a known method");

        object? Argument(int i) => i < arguments.Count ? arguments[i] : null;
    }

    private object? StringMethod(string text, string name, List<object?> arguments, Map named)
    {
        switch (name)
        {
            case "strip": return Strip(text, Text(0), true, true);
            case "lstrip": return Strip(text, Text(0), true, false);
            case "rstrip": return Strip(text, Text(0), false, true);
            case "upper": return text.ToUpperInvariant();
            case "lower": return text.ToLowerInvariant();
            case "capitalize": return Capitalized(text);
            case "title": return Titled(text);
            case "startswith": return Choices().Any(part => text.StartsWith(part, StringComparison.Ordinal));
            case "endswith": return Choices().Any(part => text.EndsWith(part, StringComparison.Ordinal));
            case "removeprefix": return Text(0) is { Length: > 0 } prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text;
            case "removesuffix": return Text(0) is { Length: > 0 } suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text;
            case "isdigit": return text.Length > 0 && text.All(char.IsDigit);
            case "isspace": return text.Length > 0 && text.All(char.IsWhiteSpace);
            case "isalpha": return text.Length > 0 && text.All(char.IsLetter);
            case "isupper": return text.Any(char.IsUpper) && !text.Any(char.IsLower);
            case "islower": return text.Any(char.IsLower) && !text.Any(char.IsUpper);
            case "find": return (long)text.IndexOf(Sought(Text(0) ?? ""), StringComparison.Ordinal);
            case "count": return Text(0) is { Length: > 0 } part ? (long)text.Split(Sought(part)).Length - 1 : throw Fault("count of nothing", "a string to count");
            case "replace": return Replaced(text, Text(0) ?? "", Text(1) ?? "", Number(2, "count"));
            case "split": return Split(text, Text(0) ?? named.GetValueOrDefault("sep") as string, Number(1, "maxsplit"), fromEnd: false);
            case "rsplit": return Split(text, Text(0) ?? named.GetValueOrDefault("sep") as string, Number(1, "maxsplit"), fromEnd: true);
            case "splitlines": return Counted(text.ReplaceLineEndings("\n").Split('\n').SkipLast(text.EndsWith('\n') || text.Length == 0 ? 1 : 0).ToList<object?>());
            case "join": return Join(text, arguments.Count > 0 ? arguments[0] : null);
            default: throw Fault($"the method {name} of a string", "a known method");
        }

        string? Text(int i) => i >= arguments.Count || arguments[i] is null ? null
            : arguments[i] as string ?? throw Fault($"{Describe(arguments[i])} in {name}", "a string");
        int Number(int i, string key) => (i < arguments.Count ? arguments[i] : named.GetValueOrDefault(key)) is long number and >= 0 ? (int)Math.Min(number, int.MaxValue) : -1;
        IEnumerable<string> Choices() => arguments.Count > 0 && arguments[0] is List<object?> list ? list.Select(Compared).OfType<string>() : [Text(0) ?? throw Fault($"{name} of nothing", "a string")];
        object? Compared(object? part)
        {
            _meter.Add(part is string choice ? 1 + (choice.Length >> 3) : 1);
            return part;
        }
        string Sought(string part)
        {
            CountSearch(text, part);
            return part;
        }
    }

    private string Strip(string text, string? letters, bool left, bool right)
    {
        if (letters is not null) CountSearch(text, letters);
        char[]? set = letters?.ToCharArray();
        if (set is { Length: 0 }) return text;
        return (left, right) switch { (true, true) => text.Trim(set), (true, false) => text.TrimStart(set), _ => text.TrimEnd(set) };
    }

    private static string Capitalized(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    private static string Titled(string text)
    {
        char[] letters = text.ToCharArray();
        for (int i = 0; i < letters.Length; i++)
        {
            bool inside = i > 0 && char.IsLetter(letters[i - 1]);
            letters[i] = inside ? char.ToLowerInvariant(letters[i]) : char.ToUpperInvariant(letters[i]);
        }
        return new string(letters);
    }

    private string Replaced(string text, string from, string to, int count)
    {
        if (from.Length == 0) throw Fault("a replacement of nothing", "a string to replace");
        List<object?> parts = Split(text, from, count, fromEnd: false);
        return Join(to, parts);
    }

    /// <summary>Python's split: by runs of white space without separator, with at most so many cuts (-1: all).</summary>
    private List<object?> Split(string text, string? separator, int most, bool fromEnd)
    {
        if (separator is { Length: 0 }) throw Fault("a split by nothing", "a separator");
        if (separator is not null) CountSearch(text, separator);
        if (most < 0) return Counted(separator is null ? [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)] : [.. text.Split(separator)]);
        if (separator is null) throw Fault("a split by white space with a limit", "a separator");
        List<object?> parts = [];
        for (; most > 0; most--)
        {
            int cut = fromEnd ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
            if (cut < 0) break;
            _meter.Add(1 + (text.Length >> 3)); // each cut copies the rest
            string before = text[..cut], after = text[(cut + separator.Length)..];
            parts.Add(fromEnd ? after : before);
            text = fromEnd ? before : after;
        }
        parts.Add(text);
        if (fromEnd) parts.Reverse();
        return parts;
    }

    /// <summary>A list of pieces, if it is not too long.</summary>
    private List<object?> Counted(List<object?> pieces)
    {
        if (pieces.Count > LongestList) throw Fault($"a list of more than {LongestList} elements", "a shorter one");
        _meter.Add(pieces.Count);
        return pieces;
    }

    private string Join(string separator, object? items)
    {
        StringBuilder text = new();
        bool first = true;
        foreach (object? item in CountedItems(items))
        {
            if (!first) text.Append(separator);
            text.Append(TemplateValues.ToText(item));
            first = false;
            if (text.Length > LongestText) throw Fault($"a string of more than {LongestText} characters", "a shorter one");
        }
        _meter.Add(text.Length >> 3);
        return text.ToString();
    }

    private object? ApplyFilter(string name, object? value, List<object?> arguments, Map named)
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw Fault("too deep nesting", "a simpler template");
        _meter.Add(1);
        switch (name)
        {
            case "trim": return Strip(TextOf(value), Argument(0, "chars") as string, true, true);
            case "length" or "count": return value switch { string text => text.Length, Map members => members.Count, _ => (long)Items(value).Count };
            case "upper": return TextOf(value).ToUpperInvariant();
            case "lower": return TextOf(value).ToLowerInvariant();
            case "capitalize": return Capitalized(TextOf(value));
            case "title": return Titled(TextOf(value));
            case "string" or "safe": return TextOf(value);
            case "tojson":
                string json = TemplateValues.ToJson(value, Argument(0, "indent") is long indent and >= 0 and <= 64 ? (int)indent : null);
                _meter.Add(json.Length >> 3);
                return json;
            case "default" or "d":
                return value is Undefined || (TemplateValues.IsTrue(Argument(1, "boolean")) && !TemplateValues.IsTrue(value)) ? Argument(0, "default_value") ?? "" : value;
            case "join": return Join(Argument(0, "d") as string ?? "", Argument(1, "attribute") is string member ? Mapped(value, member) : value);
            case "first": return Items(value) is [var head, ..] ? head : new Undefined("first");
            case "last": return Items(value) is [.., var tail] ? tail : new Undefined("last");
            case "list": return CountedItems(value).ToList();
            case "reverse":
                List<object?> backward = Enumerable.Reverse(CountedItems(value)).ToList();
                return value is string ? Join("", backward) : backward;
            case "unique":
                List<object?> unique = [];
                foreach (object? item in Items(value))
                {
                    if (!Contains(unique, item)) unique.Add(item);
                }
                return unique;
            case "items": return value is Undefined ? new List<object?>() : CallMethod(value, "items", [], []);
            case "dictsort":
                if (value is not Map map) throw Fault(Describe(value), "a dictionary");
                _meter.Add(map.Keys.Sum(key => 1L + key.Length));
                return map.OrderBy(pair => pair.Key, StringComparer.OrdinalIgnoreCase).Select(pair => (object?)new List<object?> { pair.Key, pair.Value }).ToList();
            case "replace": return Replaced(TextOf(value), Argument(0, "old") as string ?? "", Argument(1, "new") as string ?? "", -1);
            case "int": return ToInteger(value is string digits ? TextOf(digits) : value, Argument(0, "default"));
            case "float": return TemplateValues.IsNumber(value) ? TemplateValues.ToDouble(value) : double.TryParse(value is string numeral ? TextOf(numeral) : null, CultureInfo.InvariantCulture, out double real) ? real : Argument(0, "default") ?? 0.0;
            case "abs": return value is long number ? number < 0 ? Integers("*", number, -1) : number : value is double negative ? Math.Abs(negative) : throw Fault(Describe(value), "a number");
            case "map":
                if (named.TryGetValue("attribute", out object? attribute)) return Mapped(value, attribute as string ?? "");
                List<object?> others = Rest(arguments);
                return CountedItems(value).Select(item => ApplyFilter(arguments is [string filter, ..] ? filter : "", item, others, named)).ToList();
            case "selectattr" or "rejectattr":
                string wanted = arguments is [string first, ..] ? first : throw Fault($"{name} without a name", "the name of a member");
                return Chosen(CountedItems(value), item => MemberOf(item, wanted), Rest(arguments), name == "selectattr");
            case "select" or "reject": return Chosen(CountedItems(value), item => item, arguments, name == "select");
            case "indent": return Indented(TextOf(value), Argument(0, "width"), TemplateValues.IsTrue(Argument(1, "first")));
            default: throw Fault($"the filter {name}", "a known filter");
        }

        object? Argument(int i, string key) => i < arguments.Count ? arguments[i] : named.GetValueOrDefault(key);
    }

    private List<object?> Mapped(object? value, string member) => CountedItems(value).Select(item => MemberOf(item, member)).ToList();

    private List<object?> Chosen(List<object?> items, Func<object?, object?> of, List<object?> test, bool wanted)
    {
        List<object?> arguments = Rest(test);
        return items.Where(item => (test is [string name, ..] ? ApplyTest(name, of(item), arguments) : TemplateValues.IsTrue(of(item))) == wanted).ToList();
    }

    /// <summary>The arguments behind the first, which names a filter or a test.</summary>
    private List<object?> Rest(List<object?> arguments)
    {
        _meter.Add(arguments.Count);
        return arguments.Skip(1).ToList();
    }

    private string Indented(string text, object? width, bool alsoFirst)
    {
        string blanks = width is string given ? given : new string(' ', width is long count and >= 0 and <= 1000 ? (int)count : 4);
        string[] lines = text.Split('\n');
        for (int i = alsoFirst ? 0 : 1; i < lines.Length; i++)
        {
            if (lines[i].Length > 0) lines[i] = Joined(blanks, lines[i]);
        }
        if (lines.Sum(line => line.Length + 1L) > LongestText) throw Fault($"a string of more than {LongestText} characters", "a shorter one");
        return string.Join('\n', lines);
    }

    private static object? ToInteger(object? value, object? otherwise) => value switch
    {
        bool flag => flag ? 1L : 0L,
        long => value,
        double number when Math.Abs(number) < long.MaxValue => (long)number,
        string text when long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) => number,
        _ => otherwise ?? 0L,
    };

    private bool ApplyTest(string name, object? value, List<object?> arguments)
    {
        object? argument = arguments.Count > 0 ? arguments[0] : null;
        return name switch
        {
            "defined" => value is not Undefined,
            "undefined" => value is Undefined,
            "none" => value is null,
            "string" => value is string,
            "mapping" => value is Map,
            "iterable" or "sequence" => value is string or List<object?> or Map,
            "number" => TemplateValues.IsNumber(value),
            "integer" => value is long,
            "float" => value is double,
            "boolean" => value is bool,
            "callable" => value is Function,
            "true" => value is true,
            "false" => value is false,
            "even" => value is long even && even % 2 == 0,
            "odd" => value is long odd && odd % 2 != 0,
            "divisibleby" => value is long number && argument is long divisor and not 0 and not -1 && number % divisor == 0,
            "in" => Contains(argument, value),
            "equalto" or "eq" or "sameas" or "==" => TemplateValues.AreEqual(value, argument, _meter),
            "ne" or "!=" => !TemplateValues.AreEqual(value, argument, _meter),
            "gt" or "greaterthan" or ">" => Holds(value, ">", argument),
            "ge" or ">=" => Holds(value, ">=", argument),
            "lt" or "lessthan" or "<" => Holds(value, "<", argument),
            "le" or "<=" => Holds(value, "<=", argument),
            _ => throw Fault($"the test {name}", "a known test"),
        };
    }
}
