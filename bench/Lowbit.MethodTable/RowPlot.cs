using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Text;

namespace Lowbit.MethodTable;

/// <summary>The rows as an SVG picture: true bits against divergence from the float model, a point a row, a colour a family of methods.</summary>
internal static class RowPlot
{
    private const int Width = 960, Height = 600, Left = 64, Right = 16, Top = 64, Bottom = 48, Radius = 4;
    private const double FewestBits = 1, MostBits = 6.6;

    private static readonly (string Name, string Colour, string[] Methods)[] s_families =
    [
        ("rounding", "#8c8c8c", ["rtn", "hqq", "nf4", "sf4", "fp4", "fp6", "fp8", "mxfp4", "mxfp6", "mxfp8", "mxint8", "nvfp4", "ggml"]),
        ("compensation", "#1f77b4", ["gptq", "gptaq"]),
        ("scales, roundings searched", "#2ca02c", ["awq", "smoothquant", "omniquant", "signround"]),
        ("mixed precision", "#9467bd", ["llm-int8", "owq", "spqr", "squeezellm"]),
        ("partially binarized", "#e08214", ["pb-rtn", "pb-gptq"]),
        ("binary, ternary", "#8c564b", ["billm", "arb", "arb-x", "arb-rc", "hbllm-row", "hbllm-col", "pt2-llm", "db-llm", "ternary", "binary"]),
        ("Waterline", "#d62728", ["waterline"]),
    ];

    /// <summary>Writes the picture.</summary>
    /// <param name="rows">The rows.</param>
    /// <param name="path">The file.</param>
    public static void Write(RowFile rows, string path) => File.WriteAllText(path, Draw(rows));

    private static string Draw(RowFile rows)
    {
        (string Name, int Family, double Bits, double Divergence)[] points =
        [
            .. Settings.All.Select(setting => (Setting: setting, Row: rows.Find(setting.Name)))
                .Where(found => found.Row?["divergence"] is not null && (double)found.Row["bits"]! is >= FewestBits and <= MostBits)
                .Select(found => (found.Setting.Name, Family(found.Setting), (double)found.Row!["bits"]!, (double)found.Row["divergence"]!)),
        ];
        double low = points.Min(point => point.Divergence) / 1.3, high = 1.3 * points.Max(point => point.Divergence);
        double X(double bits) => Left + (Width - Left - Right) * (bits - FewestBits) / (MostBits - FewestBits);
        double Y(double divergence) => Height - Bottom - (Height - Top - Bottom) * Math.Log(divergence / low) / Math.Log(high / low);
        StringBuilder svg = new();
        void Line(FormattableString line) => svg.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Line($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>");
        Line($"<text x=\"{Left}\" y=\"22\" font-size=\"14\">{WebUtility.HtmlEncode(rows.Name)}: what is lost at how many bits, scales and positions counted</text>");
        for (double decade = Math.Pow(10, Math.Floor(Math.Log10(low))); decade <= high; decade *= 10)
            for (int times = 1; times < 10; times++)
            {
                if (times * decade < low || times * decade > high) continue;
                double y = Y(times * decade);
                Line($"<line x1=\"{Left}\" y1=\"{y:F1}\" x2=\"{Width - Right}\" y2=\"{y:F1}\" stroke=\"{(times == 1 ? "#ccc" : "#f0f0f0")}\"/>");
                if (times is 1 or 3) Line($"<text x=\"{Left - 8}\" y=\"{y + 4:F1}\" text-anchor=\"end\">{times * decade:G4}</text>");
            }
        for (int bits = (int)FewestBits; bits <= MostBits; bits++)
        {
            Line($"<line x1=\"{X(bits):F1}\" y1=\"{Top}\" x2=\"{X(bits):F1}\" y2=\"{Height - Bottom}\" stroke=\"#e0e0e0\"/>");
            Line($"<text x=\"{X(bits):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{bits}</text>");
        }
        Line($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 10}\" text-anchor=\"middle\">true bits of a weight</text>");
        Line($"<text x=\"16\" y=\"{(Top + Height - Bottom) / 2}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {(Top + Height - Bottom) / 2})\">KL divergence from the float model, nats a token</text>");
        double legend = Left;
        foreach ((string name, string colour, _) in s_families)
        {
            Line($"<circle cx=\"{legend + Radius}\" cy=\"42\" r=\"{Radius}\" fill=\"{colour}\"/><text x=\"{legend + 14}\" y=\"46\">{name}</text>");
            legend += 32 + TextWidth(name);
        }
        string own = string.Join(' ', points.Where(point => point.Name.StartsWith("Waterline", StringComparison.Ordinal) && !point.Name.EndsWith("average", StringComparison.Ordinal))
            .OrderBy(point => point.Bits).Select(point => string.Create(CultureInfo.InvariantCulture, $"{X(point.Bits):F1},{Y(point.Divergence):F1}")));
        Line($"<polyline fill=\"none\" stroke=\"{s_families[^1].Colour}\" stroke-width=\"1.5\" points=\"{own}\"/>");
        foreach ((string name, int family, double bits, double divergence) in points)
            Line($"<circle cx=\"{X(bits):F1}\" cy=\"{Y(divergence):F1}\" r=\"{Radius}\" fill=\"{s_families[family].Colour}\"><title>{WebUtility.HtmlEncode(name)}: {bits:F3} bits, {divergence:G3}</title></circle>");
        foreach ((string text, double x, double y) in Labels([.. points.OrderBy(point => point.Divergence).Select(point => (point.Name.Replace(", groups of ", " g", StringComparison.Ordinal), X(point.Bits), Y(point.Divergence)))]))
            Line($"<text x=\"{x:F1}\" y=\"{y:F1}\" font-size=\"10\" fill=\"#444\">{WebUtility.HtmlEncode(text)}</text>");
        svg.Append("</svg>\n");
        return svg.ToString();
    }

    private static int Family(Setting setting)
    {
        string method = setting.Options.Split(' ')[1];
        return Array.FindIndex(s_families, family => family.Methods.Contains(method));
    }

    // To the right of a point, to its left, above or below: where neither a point nor a label is, or nowhere.
    private static IEnumerable<(string Text, double X, double Y)> Labels((string Name, double X, double Y)[] points)
    {
        const double Ascent = 8, Descent = 2, Gap = Radius + 3;
        List<(double Left, double Top, double Right, double Bottom)> taken = [.. points.Select(point => (point.X - Radius, point.Y - Radius, point.X + Radius, point.Y + Radius))];
        foreach ((string name, double x, double y) in points)
        {
            double width = TextWidth(name) * 10 / 12;
            foreach ((double left, double baseline) in new[] { (x + Gap, y + 3), (x - Gap - width, y + 3), (x - width / 2, y - Gap - Descent), (x - width / 2, y + Gap + Ascent) })
            {
                var box = (Left: left, Top: baseline - Ascent, Right: left + width, Bottom: baseline + Descent);
                if (box.Left < Left || box.Right > Width || box.Bottom > Height - Bottom) continue;
                if (taken.Exists(other => other.Left < box.Right && box.Left < other.Right && other.Top < box.Bottom && box.Top < other.Bottom)) continue;
                taken.Add(box);
                yield return (name, left, baseline);
                break;
            }
        }
    }

    // Of sans-serif letters of 12 points, roughly.
    private static double TextWidth(string text) => 6.4 * text.Length;
}
