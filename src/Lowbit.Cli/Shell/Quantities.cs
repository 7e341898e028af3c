using System;
using System.Globalization;

namespace Lowbit.Cli.Shell;

/// <summary>Numbers as people read them.</summary>
internal static class Quantities
{
    private static readonly string[] s_byteUnits = ["B", "kB", "MB", "GB", "TB"];

    /// <summary>98.4 MB: powers of 1000, as file managers and disks count.</summary>
    public static string Bytes(double bytes)
    {
        int unit = 0;
        while (bytes >= 999.5 && unit < s_byteUnits.Length - 1)
        {
            bytes /= 1000;
            unit++;
        }
        return string.Create(CultureInfo.InvariantCulture, $"{(unit == 0 ? bytes.ToString("0", CultureInfo.InvariantCulture) : Significant(bytes, 3))} {s_byteUnits[unit]}");
    }

    /// <summary>134.5 M: a count with three digits or so.</summary>
    public static string Count(double count) => count switch
    {
        >= 1e9 => Significant(count / 1e9, 3) + " G",
        >= 1e6 => Significant(count / 1e6, 3) + " M",
        >= 1e4 => Significant(count / 1e3, 3) + " k",
        _ => count.ToString("0", CultureInfo.InvariantCulture),
    };

    /// <summary>As many decimals as <paramref name="digits"/> significant digits need.</summary>
    public static string Significant(double value, int digits)
    {
        if (!double.IsFinite(value)) return value.ToString(CultureInfo.InvariantCulture);
        int decimals = Decimals(value, digits);
        decimals = Decimals(Math.Round(value, decimals), digits); // 0.9996 becomes 1.00 and needs one decimal less
        return value.ToString($"F{decimals}", CultureInfo.InvariantCulture);
    }

    private static int Decimals(double value, int digits)
    {
        int before = value == 0 ? 1 : (int)Math.Floor(Math.Log10(Math.Abs(value))) + 1;
        return Math.Clamp(digits - before, 0, 9);
    }

    /// <summary>8 s, 3:05, 1:02:03.</summary>
    public static string Duration(TimeSpan time)
    {
        long seconds = (long)Math.Ceiling(Math.Max(0, time.TotalSeconds));
        return seconds switch
        {
            < 60 => $"{seconds} s",
            < 3600 => $"{seconds / 60}:{seconds % 60:00}",
            _ => $"{seconds / 3600}:{seconds / 60 % 60:00}:{seconds % 60:00}",
        };
    }
}
