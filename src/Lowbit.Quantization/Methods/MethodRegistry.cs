using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Grids;

namespace Lowbit.Quantization.Methods;

/// <summary>A method by its name.</summary>
/// <param name="Name">As <c>--method</c> takes it.</param>
/// <param name="Summary">Half a line for the help.</param>
/// <param name="Read">Makes options of settings; what is not set has the method's default.</param>
public sealed record QuantizationMethod(string Name, string Summary, Func<MethodSettings, MethodOptions> Read)
{
    /// <summary>Makes options of settings given by name.</summary>
    /// <exception cref="LowbitException">A setting has a wrong value, or the method has no such setting.</exception>
    public MethodOptions Options(IReadOnlyDictionary<string, string> values)
    {
        var settings = new MethodSettings(values);
        MethodOptions options = Read(settings);
        settings.RejectUnread(Name);
        return options;
    }

    /// <summary>Whether the method has a setting of this name.</summary>
    public bool Takes(string setting)
    {
        var settings = new MethodSettings(new Dictionary<string, string>());
        Read(settings);
        return settings.WasRead(setting);
    }
}

/// <summary>The methods. A new one is a file in this folder and a line here.</summary>
public static class MethodRegistry
{
    /// <summary>All methods, simple ones first.</summary>
    public static ImmutableArray<QuantizationMethod> All { get; } =
    [
        new("rtn", "round to nearest, no calibration", RtnOptions.Read),
        new("gptq", "uniform grid with error compensation (arXiv 2210.17323)", GptqOptions.Read),
        new("hqq", "uniform grid whose zeros forgive outliers, no calibration (HQQ)", HqqOptions.Read),
        new("nf4", "4-bit levels of a normal distribution, no calibration (arXiv 2305.14314)", settings => TableRtnOptions.Read(settings, CodeTable.NormalFloat4)),
        new("fp4", "4-bit floats in blocks, no calibration (bitsandbytes)", settings => TableRtnOptions.Read(settings, CodeTable.Float4)),
        new("pb-rtn", "PB-LLM without compensation (arXiv 2310.00034)", settings => PbLlmOptions.Read(settings) with { Compensate = false }),
        new("pb-gptq", "PB-LLM: few salient weights at 8 bits, the rest binary (arXiv 2310.00034)", PbLlmOptions.Read),
        new("billm", "BiLLM: all weights one bit, few salient columns two (arXiv 2402.04291)", BiLlmOptions.Read),
    ];

    /// <summary>The method of a name.</summary>
    /// <exception cref="LowbitException">There is none.</exception>
    public static QuantizationMethod Find(string name) => All.FirstOrDefault(method => method.Name == name) ??
        throw new LowbitException($"--method: \"{name}\" was given, one of {string.Join(", ", All.Select(method => method.Name))} is expected.");
}
