using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Lowbit.Core;

namespace Lowbit.Quantization.Methods;

/// <summary>
/// Settings of a method as text, by the names that they have on the command line without the dashes; a recipe file or
/// the command line fills it, the method takes what it knows.
/// </summary>
/// <param name="values">For example bits: 4, group-size: 128, symmetric: true.</param>
public sealed class MethodSettings(IReadOnlyDictionary<string, string> values)
{
    private readonly HashSet<string> _read = [], _whole = [];

    /// <summary>A whole number.</summary>
    /// <exception cref="LowbitException">The text is none.</exception>
    public int Integer(string name, int fallback) => Integer(name) ?? fallback;

    /// <summary>A whole number, or null where it is not given.</summary>
    /// <exception cref="LowbitException">The text is none.</exception>
    public int? Integer(string name)
    {
        _whole.Add(name);
        return Text(name) is not string text ? null
            : int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) ? value
            : throw Invalid(name, text, "a whole number");
    }

    /// <summary>A number.</summary>
    /// <exception cref="LowbitException">The text is none.</exception>
    public double Number(string name, double fallback) => Text(name) is not string text ? fallback
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? value
        : throw Invalid(name, text, "a number");

    /// <summary>Yes or no; without a value, yes.</summary>
    /// <exception cref="LowbitException">The text is neither.</exception>
    public bool Flag(string name, bool fallback) => Text(name) switch
    {
        null => fallback,
        "" or "true" => true,
        "false" => false,
        string text => throw Invalid(name, text, "true or false"),
    };

    /// <summary>One of several words.</summary>
    /// <exception cref="LowbitException">The text is none of them.</exception>
    public T Choice<T>(string name, T fallback, params (string Word, T Value)[] choices)
    {
        if (Text(name) is not string text) return fallback;
        foreach ((string word, T value) in choices)
            if (word == text) return value;
        throw Invalid(name, text, "one of " + string.Join(", ", choices.Select(choice => choice.Word)));
    }

    /// <summary>Throws where a setting was given that the method did not ask for.</summary>
    /// <param name="method">Name of the method.</param>
    /// <exception cref="LowbitException">There is such a setting.</exception>
    public void RejectUnread(string method)
    {
        foreach (string name in values.Keys.Where(name => !_read.Contains(name)).Order())
            throw new LowbitException($"--{name}: method {method} has no such setting, it takes {string.Join(", ", _read.Order().Select(known => "--" + known))}; leave it out.");
    }

    /// <summary>Whether the method asked for a setting.</summary>
    public bool WasRead(string name) => _read.Contains(name);

    /// <summary>Whether the method asked for a setting as a whole number.</summary>
    public bool IsWhole(string name) => _whole.Contains(name);

    private string? Text(string name)
    {
        _read.Add(name);
        return values.GetValueOrDefault(name);
    }

    private static LowbitException Invalid(string name, string text, string expected) =>
        new($"--{name}: \"{text}\" was given, {expected} is expected.");
}
