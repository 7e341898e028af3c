using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using Lowbit.Core;

namespace Lowbit.Training.Run;

/// <summary>The losses of a training as an SVG picture: every step as a thin line, their running mean as a thick one.</summary>
public static class LossPlot
{
    private const int Width = 720, Height = 420, Left = 64, Right = 16, Top = 36, Bottom = 48;

    /// <summary>Writes the picture.</summary>
    /// <param name="path">The file.</param>
    /// <param name="title">A line above.</param>
    /// <param name="steps">The steps, at least one.</param>
    public static void Write(string path, string title, IReadOnlyList<StepReport> steps)
    {
        using AtomicFile file = new(path);
        file.Write(Encoding.UTF8.GetBytes(Draw(title, steps)));
        file.Commit();
    }

    internal static string Draw(string title, IReadOnlyList<StepReport> steps)
    {
        double low = steps.Min(step => step.Loss), high = steps.Max(step => step.Loss), margin = Math.Max(0.05 * (high - low), 1e-3);
        (low, high) = (low - margin, high + margin);
        double first = steps[0].Step, last = Math.Max(steps[^1].Step, first + 1);
        double X(double step) => Left + (Width - Left - Right) * (step - first) / (last - first);
        double Y(double loss) => Height - Bottom - (Height - Top - Bottom) * (loss - low) / (high - low);
        StringBuilder svg = new();
        void Line(FormattableString line) => svg.Append(line.ToString(CultureInfo.InvariantCulture)).Append('\n');

        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">");
        Line($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>");
        Line($"<text x=\"{Left}\" y=\"22\" font-size=\"14\">{System.Net.WebUtility.HtmlEncode(title)}</text>");
        foreach (double loss in Ticks(low, high))
        {
            Line($"<line x1=\"{Left}\" y1=\"{Y(loss):F1}\" x2=\"{Width - Right}\" y2=\"{Y(loss):F1}\" stroke=\"#ddd\"/>");
            Line($"<text x=\"{Left - 8}\" y=\"{Y(loss) + 4:F1}\" text-anchor=\"end\">{loss:G4}</text>");
        }
        foreach (double step in Ticks(first, last))
        {
            Line($"<line x1=\"{X(step):F1}\" y1=\"{Top}\" x2=\"{X(step):F1}\" y2=\"{Height - Bottom}\" stroke=\"#eee\"/>");
            Line($"<text x=\"{X(step):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{step:G6}</text>");
        }
        Line($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 10}\" text-anchor=\"middle\">step</text>");
        Line($"<text x=\"16\" y=\"{(Top + Height - Bottom) / 2}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {(Top + Height - Bottom) / 2})\">loss, nats a token</text>");
        string Path(IEnumerable<(double Step, double Loss)> points) =>
            string.Join(' ', points.Select(point => string.Create(CultureInfo.InvariantCulture, $"{X(point.Step):F1},{Y(point.Loss):F1}")));
        Line($"<polyline fill=\"none\" stroke=\"#9bc4e8\" stroke-width=\"1\" points=\"{Path(steps.Select(step => ((double)step.Step, step.Loss)))}\"/>");
        Line($"<polyline fill=\"none\" stroke=\"#1560a8\" stroke-width=\"2\" points=\"{Path(RunningMean(steps))}\"/>");
        svg.Append("</svg>\n");
        return svg.ToString();
    }

    // Over a fiftieth of the steps.
    private static IEnumerable<(double Step, double Loss)> RunningMean(IReadOnlyList<StepReport> steps)
    {
        int width = Math.Max(1, steps.Count / 50);
        double sum = 0;
        for (int i = 0; i < steps.Count; i++)
        {
            sum += steps[i].Loss;
            if (i >= width) sum -= steps[i - width].Loss;
            yield return (steps[i].Step, sum / Math.Min(i + 1, width));
        }
    }

    // Four to ten round numbers of the range.
    private static IEnumerable<double> Ticks(double low, double high)
    {
        double step = Math.Pow(10, Math.Floor(Math.Log10((high - low) / 4)));
        if ((high - low) / step > 20) step *= 5;
        else if ((high - low) / step > 10) step *= 2;
        for (double tick = Math.Ceiling(low / step) * step; tick <= high; tick += step) yield return tick;
    }
}
