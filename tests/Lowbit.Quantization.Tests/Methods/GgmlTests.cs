using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Composite;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class GgmlTests
{
    [Fact]
    public void Weights_are_those_of_the_blocks()
    {
        foreach (ElementFormat format in BlockEncoder.Formats.Where(format => format.BlockLength() > 1))
        {
            LinearLayer layer = new("sample", 5, 512, Samples.Normal(5 * 512, 3, 0.02f));
            QuantizedMatrix result = new GgmlOptions { Type = format }.Quantize(layer, Samples.Pool);
            Assert.Equal(format, Assert.IsType<BlockCodes>(result.Codes).Format);
            Check.SameBits(result);
        }
    }

    [Theory]
    [InlineData(ElementFormat.Q4_K, 96, ElementFormat.Q5_0)]
    [InlineData(ElementFormat.Q2_K, 96, ElementFormat.IQ4_NL)]
    [InlineData(ElementFormat.TQ1_0, 96, ElementFormat.Q4_0)]
    public void Narrow_rows_take_blocks_of_32(ElementFormat type, int columns, ElementFormat expected) =>
        Assert.Equal(expected, ((BlockCodes)new GgmlOptions { Type = type }.Quantize(Samples.Layer(3, columns, 1), Samples.Pool).Codes).Format);

    [Fact]
    public void Rows_without_whole_blocks_stay_in_half_precision() =>
        Assert.IsType<PlainCodes>(new GgmlOptions().Quantize(Samples.Layer(3, 40, 1), Samples.Pool).Codes);

    [Theory]
    [InlineData(ElementFormat.Q2_K)]
    [InlineData(ElementFormat.Q4_0)]
    [InlineData(ElementFormat.Q3_K)]
    [InlineData(ElementFormat.IQ4_NL)]
    public void Inputs_tell_which_weights_matter(ElementFormat type)
    {
        LinearLayer layer = Samples.Layer(32, 256, 9);
        var options = new GgmlOptions { Type = type };
        float[] blind = options.Quantize(new LinearLayer("sample", 32, 256, layer.Weight), Samples.Pool).Dequantized;
        Assert.True(options.Quantize(layer, Samples.Pool).OutputError < 0.95 * OutputError.FromHessian(Samples.Pool, layer.Weight.Span, blind, 32, layer.Hessian!));
    }

    [Fact]
    public void Dead_inputs_do_no_harm()
    {
        LinearLayer layer = Samples.Layer(4, 64, 2, editInputs: inputs =>
        {
            for (int i = 0; i < inputs.Length; i++)
                if (i % 64 < 40) inputs[i] = 0;
        });
        float[] rounded = new GgmlOptions { Type = ElementFormat.Q4_0 }.Quantize(layer, Samples.Pool).Dequantized;
        Assert.All(rounded, w => Assert.True(float.IsFinite(w)));
        Assert.Contains(rounded.Take(32), w => w != 0);
    }
}
