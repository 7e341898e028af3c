using System.Collections.Generic;
using System.Collections.Immutable;
using System.Globalization;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;

namespace Lowbit.Quantization.Pipeline;

/// <summary>One of the settings between which a search chooses for every linear.</summary>
/// <param name="Settings">The method's settings by name.</param>
/// <param name="Options">The same, checked.</param>
public sealed record BitCandidate(ImmutableSortedDictionary<string, string> Settings, MethodOptions Options);

/// <summary>A size to meet, and the settings to meet it with.</summary>
/// <param name="Bits">Bits per weight over all quantized linears, scales and positions included.</param>
/// <param name="Candidates">Of one method, from few bits to many.</param>
public sealed record BitTarget(double Bits, ImmutableArray<BitCandidate> Candidates)
{
    // What a method can vary to take more or fewer bits, and whether in fractions.
    private static readonly (string Setting, bool IsWhole, double[] Values)[] s_scales =
    [
        ("bits", true, [2, 3, 4, 5, 6, 8]),
        ("bits", false, [1.5, 2, 2.5, 3, 3.5, 4, 5, 6]),
        ("salient", false, [0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9]),
    ];

    /// <summary>Varies what a method can vary: its bits, or else the share of its salient weights.</summary>
    /// <param name="bits">The size to meet.</param>
    /// <param name="method">Name of the method.</param>
    /// <param name="settings">Its other settings.</param>
    /// <param name="precision">Precision of scales and means.</param>
    /// <exception cref="LowbitException">The method can vary nothing, or a setting is wrong.</exception>
    public static BitTarget Create(double bits, string method, IReadOnlyDictionary<string, string> settings, ScalePrecision precision)
    {
        QuantizationMethod found = MethodRegistry.Find(method);
        foreach ((string setting, bool isWhole, double[] values) in s_scales)
        {
            if (!found.Takes(setting) || found.TakesWhole(setting) != isWhole) continue;
            return new BitTarget(bits, [.. values.Select(value =>
            {
                ImmutableSortedDictionary<string, string> all = settings.ToImmutableSortedDictionary().SetItem(setting, value.ToString(CultureInfo.InvariantCulture));
                MethodOptions options = found.Options(all) with { ScalePrecision = precision };
                options.Validate();
                return new BitCandidate(all, options);
            })]);
        }
        throw new LowbitException($"--target-bits: method {method} has neither --bits nor --salient to vary; choose a method that has, for example gptq or pb-gptq.");
    }

    /// <summary>The size in words, for the fingerprint; the candidates follow from method and settings.</summary>
    public override string ToString() => Bits.ToString("R", CultureInfo.InvariantCulture);
}
