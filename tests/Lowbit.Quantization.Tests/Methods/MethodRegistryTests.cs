using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class MethodRegistryTests
{
    private static MethodOptions Options(string method, params (string Name, string Value)[] settings) =>
        MethodRegistry.Find(method).Options(settings.ToDictionary(setting => setting.Name, setting => setting.Value));

    [Fact]
    public void Without_settings_the_defaults_hold()
    {
        Assert.Equal(new RtnOptions(), Options("rtn"));
        Assert.Equal(new GptqOptions(), Options("gptq"));
        Assert.Equal(new PbLlmOptions(), Options("pb-gptq"));
        Assert.Equal(new PbLlmOptions { Compensate = false }, Options("pb-rtn"));
    }

    [Fact]
    public void Every_setting_arrives()
    {
        Assert.Equal(new RtnOptions { Bits = 3, GroupSize = 64, Symmetric = true }, Options("rtn", ("bits", "3"), ("group-size", "64"), ("symmetric", "")));
        Assert.Equal(
            new GptqOptions { Bits = 2, GroupSize = -1, Symmetric = true, ActivationOrder = true, Damping = 0.05, BlockSize = 64 },
            Options("gptq", ("bits", "2"), ("group-size", "-1"), ("symmetric", "true"), ("activation-order", "true"), ("damping", "0.05"), ("block-size", "64")));
        Assert.Equal(
            new PbLlmOptions
            {
                SalientShare = 0.3,
                Saliency = SaliencyMetric.Hessian,
                SalientBits = 3,
                Binary = BinaryKind.TwoBit,
                ScaleRule = ScaleRule.Repository,
                GroupSize = 128,
                Damping = 0.1,
                BlockSize = 32,
            },
            Options("pb-gptq", ("salient", "0.3"), ("saliency", "hessian"), ("salient-bits", "3"), ("binary", "2bit"), ("scale-rule", "repository"),
                ("group-size", "128"), ("damping", "0.1"), ("block-size", "32")));
    }

    [Theory]
    [InlineData("gptq", "bits", "four", "--bits")]
    [InlineData("gptq", "damping", "1%", "--damping")]
    [InlineData("gptq", "symmetric", "maybe", "true or false")]
    [InlineData("gptq", "salient", "0.1", "has no such setting")]
    [InlineData("pb-gptq", "binary", "3bit", "xnor, sign, 2bit, prune")]
    public void Wrong_settings_are_named(string method, string name, string value, string message)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => Options(method, (name, value)));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    public static IEnumerable<object[]> OutOfRange() =>
    [
        [new RtnOptions { Bits = 9 }, "--bits: 9"],
        [new RtnOptions { GroupSize = -2 }, "--group-size: -2"],
        [new GptqOptions { Bits = 1 }, "--bits: 1"],
        [new GptqOptions { Damping = -0.1 }, "--damping: -0.1"],
        [new GptqOptions { Damping = double.NaN }, "--damping: NaN"],
        [new GptqOptions { BlockSize = 0 }, "--block-size: 0"],
        [new PbLlmOptions { SalientShare = 1.5 }, "--salient: 1.5"],
        [new PbLlmOptions { SalientBits = 1 }, "--salient-bits: 1"],
        [new PbLlmOptions { GroupSize = -2 }, "--group-size: -2"],
    ];

    [Theory, MemberData(nameof(OutOfRange))]
    public void Settings_out_of_range_are_named(MethodOptions options, string message)
    {
        LowbitException e = Assert.Throws<LowbitException>(() => options.Quantize(Samples.Layer(2, 4, 1), Samples.Pool));
        Assert.StartsWith(message, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_method_is_told_the_known_ones()
    {
        LowbitException e = Assert.Throws<LowbitException>(() => MethodRegistry.Find("awqq"));
        Assert.Contains("pb-gptq", e.Message, StringComparison.Ordinal);
        Assert.Equal(MethodRegistry.All.Length, MethodRegistry.All.Select(method => method.Name).Distinct().Count());
    }

    [Fact]
    public void Every_method_quantizes_with_its_defaults_and_says_what_it_needs()
    {
        LinearLayer layer = Samples.Layer(8, 12, 1);
        foreach (QuantizationMethod method in MethodRegistry.All)
        {
            MethodOptions options = Options(method.Name);
            QuantizedMatrix result = options.Quantize(layer, Samples.Pool);
            Check.SameBits(result);
            Assert.InRange(result.OutputError!.Value, 0, 1);
            if (!options.NeedsHessian) Assert.Null(options.Quantize(new LinearLayer("sample", 8, 12, layer.Weight), Samples.Pool).OutputError);
        }
    }
}
