using System;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Tables;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class TableRtnTests
{
    [Fact]
    public void Blocks_go_over_the_ends_of_rows()
    {
        // Blocks of four: (12, 3, −6 | 0), (2, −3, | 0, 0), (0, −0.9) times twelfths.
        float[] weight = [12, 3, -6, 0, 2, -3, 0, 0, 0, -0.9f];
        QuantizedMatrix result = new TableRtnOptions { Table = CodeTable.Float4, GroupSize = 4 }.Quantize(new LinearLayer("sample", 2, 5, weight), Samples.Pool);
        var codes = (TableCodes)result.Codes;
        Assert.Equal([12, 3, 0.9f], codes.Scales);
        Assert.Equal([3, 7, 13, 0, 2, 11, 0, 0, 0, 11], codes.Codes);
        Check.SameBits(result);
    }

    [Fact]
    public void Normal_levels_lose_less_than_equal_steps_and_floats_on_normal_weights()
    {
        float[] weight = Samples.Normal(64 * 256, 1, 0.02f);
        var layer = new LinearLayer("sample", 64, 256, weight);
        double nf4 = Loss(new TableRtnOptions()), nested = Loss(new TableRtnOptions { DoubleQuantization = true });
        Assert.True(nf4 < Loss(new TableRtnOptions { Table = CodeTable.Float4 }));
        Assert.True(nf4 < Loss(new RtnOptions { Bits = 4, GroupSize = 64, Symmetric = true }));
        Assert.InRange(nested / nf4, 0.99, 1.05);

        double Loss(MethodOptions options) => options.Quantize(layer, Samples.Pool).Dequantized.Zip(weight, (a, b) => (double)(a - b) * (a - b)).Sum();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Zeros_and_tiny_weights_are_no_special_case(bool nested)
    {
        var weight = new float[200];
        weight[70] = 1e-40f;
        weight[199] = 1;
        QuantizedMatrix result = new TableRtnOptions { DoubleQuantization = nested }.Quantize(new LinearLayer("sample", 2, 100, weight), Samples.Pool);
        Check.SameBits(result);
        Assert.All(result.Dequantized.AsSpan(0, 192).ToArray(), value => Assert.InRange(value, -1e-6f, 1e-6f));
        Assert.Equal(1, result.Dequantized[199], 0.01);
    }

    [Fact]
    public void Wrong_group_sizes_are_named() => Assert.StartsWith(
        "--group-size: 63", Assert.Throws<LowbitException>(() => new TableRtnOptions { GroupSize = 63 }.Quantize(Samples.Layer(2, 4, 1), Samples.Pool)).Message, StringComparison.Ordinal);
}
