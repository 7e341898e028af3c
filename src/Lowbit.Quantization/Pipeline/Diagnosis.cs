using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Lowbit.Quantization.Pipeline;

/// <summary>Says in sentences where the error of a run came from and what to do about it.</summary>
public static class Diagnosis
{
    private const double Jump = 3;           // times the median of the same linear in the other blocks
    private const double Noticeable = 0.02;  // output errors below it hardly show
    private const double Coarse = 0.3;       // where the median is above it, no single layer is to blame

    /// <summary>Looks at the errors of all layers.</summary>
    /// <param name="layers">In the order of the forward pass.</param>
    public static IReadOnlyList<string> Of(IReadOnlyList<LayerReport> layers)
    {
        if (layers.Any(layer => double.IsNaN(layer.OutputError))) return ["Without calibration text the error of no layer is known; give some with --calibration to see where it is."];
        double median = Median(layers.Select(layer => layer.OutputError));
        Dictionary<string, double> ofKind = layers.GroupBy(layer => Kind(layer.Name)).ToDictionary(kind => kind.Key, kind => Median(kind.Select(layer => layer.OutputError)));
        double Ratio(LayerReport layer) => layer.OutputError / Math.Max(ofKind[Kind(layer.Name)], double.Epsilon);
        LayerReport worst = layers.MaxBy(layer => layer.OutputError)!;
        List<string> sentences = [Sentence($"The median layer lost {median:P1} of its output's energy, {worst.Name} lost most with {worst.OutputError:P1}.")];
        LayerReport[] jumps = [.. layers.Where(layer => layer.OutputError > Noticeable && Ratio(layer) > Jump).OrderByDescending(layer => layer.OutputError)];
        if (median > Coarse)
            sentences.Add("Every layer loses much: the setting is too coarse for this model; take more bits or salient weights, smaller groups, or a compensating method.");
        else if (jumps.Length > 0)
            sentences.Add(Sentence($"The error jumps at {Names(jumps)}, to {Ratio(jumps[0]):F0} times what the same linear loses in other blocks; give {(jumps.Length == 1 ? "it" : "them")} more bits with --recipe, or let --target-bits give them out."));
        else
            sentences.Add("No layer stands out against the same linear in other blocks; for less error take more bits everywhere, or let --target-bits give them out.");
        return sentences;
    }

    // model.layers.12.mlp.down_proj and model.layers.3.mlp.down_proj are of one kind.
    private static string Kind(string name) => string.Join('.', name.Split('.').Where(part => !int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out _)));

    private static string Names(LayerReport[] layers) =>
        string.Join(", ", layers.Take(3).Select(layer => layer.Name)) + (layers.Length > 3 ? Sentence($" and {layers.Length - 3} more") : "");

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : sorted[sorted.Length / 2];
    }

    private static string Sentence(FormattableString text) => FormattableString.Invariant(text);
}
