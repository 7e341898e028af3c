using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Floats;
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
        MethodOptions options = LowRankRepairOptions.Read(settings, Read(settings));
        settings.RejectUnread(Name);
        return options;
    }

    /// <summary>Whether the method has a setting of this name.</summary>
    public bool Takes(string setting) => Asked().WasRead(setting);

    /// <summary>Whether the method has a setting of this name that is a whole number.</summary>
    public bool TakesWhole(string setting) => Asked().IsWhole(setting);

    private MethodSettings Asked()
    {
        var settings = new MethodSettings(new Dictionary<string, string>());
        Read(settings);
        return settings;
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
        new("gptaq", "GPTQ that also corrects the inputs' own error (arXiv 2504.02692)", GptaqOptions.Read),
        new("awq", "columns scaled by their activations, clipped groups (arXiv 2306.00978)", AwqOptions.Read),
        new("smoothquant", "8-bit weights that take outliers off 8-bit activations (arXiv 2211.10438)", SmoothQuantOptions.Read),
        new("omniquant", "clipping and column scales by gradient descent (arXiv 2308.13137)", OmniQuantOptions.Read),
        new("signround", "rounding and clipping by signed gradient descent (AutoRound, arXiv 2309.05516)", SignRoundOptions.Read),
        new("llm-int8", "8 bits, columns of large activations in half precision (arXiv 2208.07339)", LlmInt8Options.Read),
        new("owq", "GPTQ with weak columns in half precision (arXiv 2306.02272)", OwqOptions.Read),
        new("spqr", "GPTQ in groups of 16 with single weights in half precision (arXiv 2306.03078)", SpqrOptions.Read),
        new("squeezellm", "levels by weighted k-means, single weights in half precision (arXiv 2306.07629)", SqueezeLlmOptions.Read),
        new("hqq", "uniform grid whose zeros forgive outliers, no calibration (HQQ)", HqqOptions.Read),
        new("nf4", "4-bit levels of a normal distribution, no calibration (arXiv 2305.14314)", settings => TableRtnOptions.Read(settings, CodeTable.NormalFloat4)),
        new("sf4", "4-bit levels of Student's t distribution, no calibration (arXiv 2405.03103)", settings => TableRtnOptions.Read(settings, CodeTable.StudentFloat4)),
        new("fp4", "4-bit floats in blocks, no calibration (bitsandbytes)", settings => TableRtnOptions.Read(settings, CodeTable.Float4)),
        new("fp6", "6-bit floats, e2m3 or e3m2, no calibration", settings => FloatRtnOptions.Read(settings, SmallFloat.E2M3, SmallFloat.E3M2)),
        new("fp8", "8-bit floats, e4m3 or e5m2, no calibration (OCP OFP8)", settings => FloatRtnOptions.Read(settings, SmallFloat.E4M3, SmallFloat.E5M2)),
        new("mxfp4", "4-bit floats, powers of two as scales of 32 (OCP MX)", settings => FloatRtnOptions.ReadBlocks(settings, BlockScale.E8M0, 32, SmallFloat.E2M1)),
        new("mxfp6", "6-bit floats, powers of two as scales of 32 (OCP MX)", settings => FloatRtnOptions.ReadBlocks(settings, BlockScale.E8M0, 32, SmallFloat.E2M3, SmallFloat.E3M2)),
        new("mxfp8", "8-bit floats, powers of two as scales of 32 (OCP MX)", settings => FloatRtnOptions.ReadBlocks(settings, BlockScale.E8M0, 32, SmallFloat.E4M3, SmallFloat.E5M2)),
        new("mxint8", "8-bit integers, powers of two as scales of 32 (OCP MX)", settings => FloatRtnOptions.ReadBlocks(settings, BlockScale.E8M0, 32, SmallFloat.Int8)),
        new("nvfp4", "4-bit floats, e4m3 scales of 16 and one of the matrix (NVIDIA)", settings => FloatRtnOptions.ReadBlocks(settings, BlockScale.E4M3, 16, SmallFloat.E2M1)),
        new("ggml", "llama.cpp's block formats, by a search for the least error; weighted by the inputs where there is calibration text", GgmlOptions.Read),
        new("ternary", "three levels in groups, no calibration (arXiv 1605.04711)", TernaryRtnOptions.Read),
        new("binary", "two levels in groups, no calibration (arXiv 1603.05279)", settings => TernaryRtnOptions.Read(settings) with { Ternary = false }),
        new("pb-rtn", "PB-LLM without compensation (arXiv 2310.00034)", settings => PbLlmOptions.Read(settings) with { Compensate = false }),
        new("pb-gptq", "PB-LLM: few salient weights at 8 bits, the rest binary (arXiv 2310.00034)", PbLlmOptions.Read),
        new("billm", "BiLLM: all weights one bit, few salient columns two (arXiv 2402.04291)", BiLlmOptions.Read),
        new("waterline", "Lowbit's own partial binarization: nothing, a sign or more on one grid, to a given number of bits", WaterlineOptions.Read),
        new("arb", "ARB-LLM: BiLLM with mean, scale and signs refined in turn (arXiv 2410.03129)", settings => ArbLlmOptions.Read(settings) with { Variant = ArbVariant.Arb }),
        new("arb-x", "ARB-LLM, refined against the calibration inputs", settings => ArbLlmOptions.Read(settings) with { Variant = ArbVariant.ArbX }),
        new("arb-rc", "ARB-LLM with scales of rows and columns", settings => ArbLlmOptions.Read(settings) with { Variant = ArbVariant.ArbRc }),
        new("hbllm-row", "HBLLM: binary sums and differences of neighbouring columns (arXiv 2512.00862)", HbllmOptions.Read),
        new("hbllm-col", "HBLLM: binary sums and differences of neighbouring rows", settings => HbllmOptions.Read(settings) with { AcrossRows = true }),
        new("pt2-llm", "PT²-LLM: three levels a row and block of similar columns (arXiv 2510.03267)", Pt2LlmOptions.Read),
        new("db-llm", "DB-LLM: a sum of two planes of bits, no calibration (arXiv 2402.11960)", DbLlmOptions.Read),
    ];

    /// <summary>The method of a name.</summary>
    /// <exception cref="LowbitException">There is none.</exception>
    public static QuantizationMethod Find(string name) => All.FirstOrDefault(method => method.Name == name) ??
        throw new LowbitException($"--method: \"{name}\" was given, one of {string.Join(", ", All.Select(method => method.Name))} is expected.");
}
