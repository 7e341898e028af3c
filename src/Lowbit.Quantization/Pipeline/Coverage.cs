using System;
using System.Collections.Generic;
using System.Linq;

namespace Lowbit.Quantization.Pipeline;

/// <summary>What the calibration text reached.</summary>
/// <param name="Tokens">Tokens of all windows.</param>
/// <param name="DistinctTokens">Different ones among them.</param>
/// <param name="Vocabulary">Tokens that the model knows.</param>
/// <param name="DeadInputs">Linears with inputs that were zero throughout: their weights have no effect on the text and count as zero.</param>
public sealed record Coverage(long Tokens, int DistinctTokens, int Vocabulary, IReadOnlyList<DeadInputs> DeadInputs)
{
    /// <summary>Looks at the windows.</summary>
    /// <param name="calibration">The windows.</param>
    /// <param name="vocabulary">Tokens that the model knows.</param>
    /// <param name="layers">The quantized linears.</param>
    internal static Coverage Of(CalibrationSet calibration, int vocabulary, IEnumerable<LayerReport> layers) => new(
        (long)calibration.Windows.Count * calibration.Context,
        calibration.Windows.SelectMany(window => window).Distinct().Count(),
        vocabulary,
        [.. layers.Where(layer => layer.DeadInputs > 0).Select(layer => new DeadInputs(layer.Name, layer.DeadInputs))]);

    /// <summary>What a token takes, in nats, for one who knows only how often each occurs: a model that needs more has learned nothing of the text.</summary>
    internal static double UnigramEntropy(CalibrationSet calibration)
    {
        double tokens = (double)calibration.Windows.Count * calibration.Context;
        return calibration.Windows.SelectMany(window => window).CountBy(token => token).Sum(token => -token.Value / tokens * Math.Log(token.Value / tokens));
    }
}

/// <summary>Inputs of a linear that were zero in the whole calibration text.</summary>
/// <param name="Name">Name of its tensor, without ending.</param>
/// <param name="Inputs">How many.</param>
public sealed record DeadInputs(string Name, int Inputs);
