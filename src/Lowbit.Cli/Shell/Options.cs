using System;
using System.Collections.Generic;
using System.CommandLine;
using System.Globalization;
using System.Linq;
using System.Numerics;

namespace Lowbit.Cli.Shell;

/// <summary>Makes options whose errors say what was found and what was expected.</summary>
internal static class Options
{
    public static Argument<string> Model() => new("MODEL")
    {
        Description = "A Hugging Face folder, a GGUF file, a folder that Lowbit wrote, or a llama2.c .bin file.",
    };

    public static Argument<string?> OptionalModel() => new("MODEL") { Description = Model().Description, Arity = ArgumentArity.ZeroOrOne };

    public static Option<bool> Flag(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.Zero };

    public static Option<string?> Text(string name, string description, string valueName = "TEXT") => new(name)
    {
        Description = description,
        HelpName = valueName,
    };

    public static Option<int> Integer(string name, string description, int @default, int minimum = int.MinValue, int maximum = int.MaxValue) =>
        Number(name, description, "N", @default, minimum, maximum, Range("a whole number", minimum, maximum));

    /// <summary>A seed, or null for one of the machine's choice.</summary>
    public static Option<ulong?> Seed(string description)
    {
        var option = new Option<ulong?>("--seed") { Description = description, HelpName = "S", Arity = ArgumentArity.ExactlyOne };
        option.CustomParser = result =>
        {
            string found = result.Tokens[^1].Value;
            if (ulong.TryParse(found, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed)) return seed;
            result.AddError($"--seed is '{found}', but must be a whole number from 0 to {ulong.MaxValue}.");
            return null;
        };
        return option;
    }

    public static Option<double> Real(string name, string description, string valueName, double @default, double minimum, double maximum) =>
        Number(name, description, valueName, @default, minimum, maximum, Range("a number", minimum, maximum));

    /// <summary>A number of bytes, 0 where none was given.</summary>
    public static Option<long> Size(string name, string description)
    {
        var option = new Option<long>(name) { Description = description, HelpName = "SIZE", Arity = ArgumentArity.ExactlyOne };
        option.CustomParser = result =>
        {
            string found = result.Tokens[^1].Value;
            (string Unit, double Bytes)[] units = [("GiB", 1L << 30), ("MiB", 1L << 20), ("GB", 1e9), ("MB", 1e6), ("", 1)];
            foreach ((string unit, double bytes) in units)
            {
                if (!found.EndsWith(unit, StringComparison.OrdinalIgnoreCase)) continue;
                bool isNumber = double.TryParse(found[..^unit.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value);
                if (isNumber && value * bytes is >= 1 and < 1L << 60) return (long)(value * bytes);
                break;
            }
            result.AddError($"{name} is '{found}', but must be a number of bytes, as in {name} 2GB, 512MiB or 800000000.");
            return 0;
        };
        return option;
    }

    /// <summary>One of a few words; the first is the default.</summary>
    public static Option<string> Choice(string name, string description, params string[] values)
    {
        var option = new Option<string>(name)
        {
            Description = description,
            HelpName = string.Join('|', values),
        };
        option.CustomParser = result =>
        {
            string found = result.Tokens[^1].Value;
            if (!values.Contains(found)) result.AddError($"{name} is '{found}', but must be {Enumerate(values)}.");
            return found;
        };
        option.DefaultValueFactory = _ => values[0];
        option.Arity = ArgumentArity.ExactlyOne;
        return option;
    }

    /// <summary>Token ids between commas.</summary>
    public static Option<int[]?> Ids(string name, string description)
    {
        var option = new Option<int[]?>(name) { Description = description, HelpName = "1,2,3", Arity = ArgumentArity.ExactlyOne };
        option.CustomParser = result =>
        {
            string found = result.Tokens[^1].Value;
            var ids = new List<int>();
            foreach (string part in found.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries))
            {
                if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int id))
                {
                    result.AddError($"{name} has '{part}', but must be token ids between commas, as in {name} 1,2,3.");
                    return null;
                }
                ids.Add(id);
            }
            return [.. ids];
        };
        return option;
    }

    private static Option<T> Number<T>(string name, string description, string valueName, T @default, T minimum, T maximum, string expected)
        where T : INumber<T>
    {
        var option = new Option<T>(name) { Description = description, HelpName = valueName };
        option.CustomParser = result =>
        {
            string found = result.Tokens[^1].Value;
            bool isNumber = T.TryParse(found, NumberStyles.Float, CultureInfo.InvariantCulture, out T? value);
            if (!isNumber || T.IsNaN(value!) || value! < minimum || value! > maximum) result.AddError($"{name} is '{found}', but must be {expected}.");
            return value!;
        };
        option.DefaultValueFactory = _ => @default;
        option.Arity = ArgumentArity.ExactlyOne;
        return option;
    }

    private static string Range<T>(string what, T minimum, T maximum) where T : IMinMaxValue<T>, INumber<T> =>
        (minimum > T.MinValue, maximum < T.MaxValue) switch
        {
            (true, true) => string.Create(CultureInfo.InvariantCulture, $"{what} from {minimum} to {maximum}"),
            (true, false) => string.Create(CultureInfo.InvariantCulture, $"{what} of at least {minimum}"),
            (false, true) => string.Create(CultureInfo.InvariantCulture, $"{what} of at most {maximum}"),
            _ => what,
        };

    private static string Enumerate(string[] values) =>
        values.Length == 1 ? values[0] : $"{string.Join(", ", values[..^1])} or {values[^1]}";
}
