using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers.Chat;

/// <summary>A name or member that is not there.</summary>
internal sealed record Undefined(string Name);

/// <summary>A dictionary; members keep their order.</summary>
internal class Map : OrderedDictionary<string, object?>;

/// <summary>What <c>namespace()</c> makes: its members can be set from inside of loops.</summary>
internal sealed class Namespace : Map;

/// <summary>A function that a template can call.</summary>
internal delegate object? Function(IReadOnlyList<object?> positional, IReadOnlyDictionary<string, object?> named);

/// <summary>
/// The values of templates and what Python does with them: null, bool, long, double, string, <see cref="List{T}"/>,
/// <see cref="Map"/>, <see cref="Function"/> and <see cref="Undefined"/>.
/// </summary>
internal static class TemplateValues
{
    private const int DeepestValue = 64;

    /// <summary>Turns a value from outside into one of the template's; null where it is of no known kind or too deep.</summary>
    /// <param name="value">Null, a truth value, a number, a string, JSON, a dictionary by strings, or a sequence of such.</param>
    /// <param name="result">The value of the template.</param>
    /// <param name="depth">How deep this value lies in others.</param>
    public static bool TryImport(object? value, out object? result, int depth = 0)
    {
        result = value;
        if (depth > DeepestValue) return false;
        switch (value)
        {
            case null or bool or long or double or string: return true;
            case int number: result = (long)number; return true;
            case float number: result = (double)number; return true;
            case JsonElement element: return TryImport(element, out result, depth);
            case IEnumerable<KeyValuePair<string, object?>> members:
                Map map = [];
                result = map;
                foreach ((string name, object? member) in members)
                {
                    if (!TryImport(member, out object? imported, depth + 1)) return false;
                    map[name] = imported;
                }
                return true;
            case IEnumerable items:
                List<object?> list = [];
                result = list;
                foreach (object? item in items)
                {
                    if (!TryImport(item, out object? imported, depth + 1)) return false;
                    list.Add(imported);
                }
                return true;
            default: return false;
        }
    }

    private static bool TryImport(JsonElement element, out object? result, int depth)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.True or JsonValueKind.False: result = element.GetBoolean(); return true;
            case JsonValueKind.String: result = element.GetString(); return true;
            case JsonValueKind.Number: result = element.TryGetInt64(out long integer) ? (object)integer : element.GetDouble(); return true;
            case JsonValueKind.Object: return TryImport(element.EnumerateObject().Select(member => KeyValuePair.Create(member.Name, (object?)member.Value)), out result, depth);
            case JsonValueKind.Array: return TryImport(element.EnumerateArray().Select(item => (object?)item), out result, depth);
            default: result = null; return true;
        }
    }

    /// <summary>Whether a condition holds.</summary>
    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        List<object?> list => list.Count > 0,
        Namespace => true,
        Map map => map.Count > 0,
        _ => true,
    };

    /// <summary>Equality as of <c>==</c>.</summary>
    public static bool AreEqual(object? left, object? right, WorkMeter meter)
    {
        CheckStack();
        meter.Add(1);
        return (left, right) switch
        {
            (Undefined, Undefined) => true,
            (List<object?> a, List<object?> b) => a.Count == b.Count && a.Zip(b).All(pair => AreEqual(pair.First, pair.Second, meter)),
            (Map a, Map b) => a.Count == b.Count && a.All(pair => b.TryGetValue(pair.Key, out object? other) && AreEqual(pair.Value, other, meter)),
            (long a, long b) => a == b,
            (string a, string b) => AreEqual(a, b, meter),
            _ => IsNumber(left) && IsNumber(right) ? ToDouble(left).Equals(ToDouble(right)) : Equals(left, right),
        };
    }

    private static bool AreEqual(string left, string right, WorkMeter meter)
    {
        if (left.Length != right.Length) return false;
        meter.Add(left.Length >> 3);
        return left == right;
    }

    /// <summary>Whether the value is a number; truth values are, in Python.</summary>
    public static bool IsNumber(object? value) => value is long or double or bool;

    /// <summary>A number as a real one.</summary>
    public static double ToDouble(object? value) => value switch { bool flag => flag ? 1 : 0, long number => number, double number => number, _ => double.NaN };

    /// <summary>A truth value or integer as an integer.</summary>
    public static long ToInteger(object? value) => value is bool flag ? flag ? 1 : 0 : (long)value!;

    /// <summary>The text that is written for a value.</summary>
    public static string ToText(object? value) => value is string text ? text : value is Undefined ? "" : Append(new StringBuilder(), value).ToString();

    /// <summary>JSON as Python's <c>json.dumps</c> writes it without ASCII escapes.</summary>
    public static string ToJson(object? value, int? indent)
    {
        StringBuilder json = new();
        AppendJson(json, value, indent, 0);
        return json.ToString();
    }

    /// <summary>Python's <c>repr</c>.</summary>
    private static StringBuilder Append(StringBuilder text, object? value)
    {
        CheckSize(text);
        switch (value)
        {
            case null: return text.Append("None");
            case bool flag: return text.Append(flag ? "True" : "False");
            case double number: return text.Append(Real(number));
            case List<object?> list:
                text.Append('[');
                for (int i = 0; i < list.Count; i++) AppendQuoted(i == 0 ? text : text.Append(", "), list[i]);
                return text.Append(']');
            case Map map:
                text.Append('{');
                bool first = true;
                foreach ((string key, object? member) in map)
                {
                    AppendQuoted(first ? text : text.Append(", "), key);
                    AppendQuoted(text.Append(": "), member);
                    first = false;
                }
                return text.Append('}');
            case Function: return text.Append("<function>");
            default: return text.Append(CultureInfo.InvariantCulture, $"{value}");
        }
    }

    private static void AppendQuoted(StringBuilder text, object? value)
    {
        if (value is not string inner)
        {
            Append(text, value is Undefined ? null : value);
            return;
        }
        char quote = inner.Contains('\'') && !inner.Contains('"') ? '"' : '\'';
        text.Append(quote);
        foreach (char letter in inner)
        {
            if (letter == quote || letter == '\\') text.Append('\\').Append(letter);
            else if (letter == '\n') text.Append("\\n");
            else if (letter == '\t') text.Append("\\t");
            else if (letter == '\r') text.Append("\\r");
            else text.Append(letter);
        }
        text.Append(quote);
    }

    private static string Real(double number)
    {
        string text = number.ToString("R", CultureInfo.InvariantCulture);
        return text.AsSpan().IndexOfAnyExceptInRange('-', '9') < 0 && !text.Contains('.', StringComparison.Ordinal) ? text + ".0" : text.ToLowerInvariant();
    }

    private static void AppendJson(StringBuilder json, object? value, int? indent, int depth)
    {
        CheckSize(json);
        switch (value)
        {
            case null or Undefined: json.Append("null"); break;
            case bool flag: json.Append(flag ? "true" : "false"); break;
            case string text: AppendJsonText(json, text); break;
            case List<object?> list:
                AppendJsonItems(json, '[', ']', list.Count, indent, depth, list, (item, inner) => AppendJson(json, item, indent, inner));
                break;
            case Map map:
                AppendJsonItems(json, '{', '}', map.Count, indent, depth, map, (member, inner) =>
                {
                    AppendJsonText(json, member.Key);
                    json.Append(": ");
                    AppendJson(json, member.Value, indent, inner);
                });
                break;
            default: Append(json, value); break;
        }
    }

    private static void AppendJsonItems<T>(StringBuilder json, char open, char close, int count, int? indent, int depth, IEnumerable<T> items, Action<T, int> append)
    {
        json.Append(open);
        bool first = true;
        foreach (T item in items)
        {
            if (!first) json.Append(indent is null ? ", " : ",");
            if (indent is int inner) json.Append('\n').Append(' ', inner * (depth + 1));
            append(item, depth + 1);
            first = false;
        }
        if (indent is int outer && count > 0) json.Append('\n').Append(' ', outer * depth);
        json.Append(close);
    }

    private static void AppendJsonText(StringBuilder json, string text)
    {
        json.Append('"');
        foreach (char letter in text)
        {
            switch (letter)
            {
                case '"': json.Append("\\\""); break;
                case '\\': json.Append("\\\\"); break;
                case '\n': json.Append("\\n"); break;
                case '\r': json.Append("\\r"); break;
                case '\t': json.Append("\\t"); break;
                case '\b': json.Append("\\b"); break;
                case '\f': json.Append("\\f"); break;
                case < ' ': json.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"); break;
                default: json.Append(letter); break;
            }
        }
        json.Append('"');
    }

    // A list can hold itself, or the same list many times over.
    private static void CheckSize(StringBuilder text)
    {
        CheckStack();
        if (text.Length > TemplateInterpreter.LongestText) throw new LowbitException("the chat template writes a value of more than 16 million characters; give another template.");
    }

    private static void CheckStack()
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack()) throw new LowbitException("the chat template writes or compares a value that is nested too deeply; give another template.");
    }
}
