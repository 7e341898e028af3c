using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class HqqTests
{
    [Fact]
    public void Levels_that_fit_are_kept()
    {
        float[] weight = [-1, 0, 1, 2, 0.5f, 1, 1.5f, 2];
        QuantizedMatrix result = new HqqOptions { Bits = 2, GroupSize = 4 }.Quantize(new LinearLayer("sample", 1, 8, weight), Samples.Pool);
        Assert.Equal(weight, result.Dequantized);
        var codes = (UniformCodes)result.Codes;
        Assert.Equal([0, 1, 2, 3, 0, 1, 2, 3], codes.Codes);
        Assert.Equal([1f, 0.5f], codes.Scales);
        Assert.Equal([1f, -1f], codes.RealZeros!);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Loses_less_than_the_grid_it_begins_with(int bits)
    {
        float[] weight = Samples.Normal(32 * 130, 5, 0.02f);
        for (int i = 0; i < weight.Length; i += 40) weight[i] *= 4; // outliers
        var layer = new LinearLayer("sample", 32, 130, weight);
        double rtn = Loss(new RtnOptions { Bits = bits, GroupSize = 64 }), hqq = Loss(new HqqOptions { Bits = bits, GroupSize = 64 });
        Assert.True(hqq < 0.99 * rtn, $"{hqq} after {rtn}");

        double Loss(MethodOptions options) => options.Quantize(layer, Samples.Pool).Dequantized.Zip(weight, (a, b) => Math.Pow(Math.Abs(a - b), 0.7)).Sum();
    }

    [Fact]
    public void Zero_and_constant_rows_one_column_and_short_groups_are_no_special_case()
    {
        float[] weight = [0, 0, 0, 0, 0, 0.3f, 0.3f, 0.3f, 0.3f, 0.3f, -2, -2, -2, -2, 5];
        QuantizedMatrix result = new HqqOptions { Bits = 4, GroupSize = 4 }.Quantize(new LinearLayer("sample", 3, 5, weight), Samples.Pool);
        Check.SameBits(result);
        Assert.All(result.Dequantized, value => Assert.True(float.IsFinite(value)));
        Assert.Equal(weight.AsSpan(0, 5).ToArray(), result.Dequantized.AsSpan(0, 5).ToArray());
        Assert.True(float.IsFinite(new HqqOptions().Quantize(new LinearLayer("sample", 1, 1, new float[] { 0.1f }), Samples.Pool).Dequantized[0]));
    }

    [Fact]
    public void Number_of_threads_changes_no_bit_and_half_precision_is_what_codes_were_chosen_with()
    {
        var layer = new LinearLayer("sample", 40, 100, Samples.Normal(4000, 1, 0.02f));
        MethodOptions options = new HqqOptions { ScalePrecision = ScalePrecision.Float16 };
        using WorkerPool one = new(1), four = new(4);
        QuantizedMatrix result = options.Quantize(layer, one);
        Check.SameBits(result);
        Check.SameBits(result.Dequantized, options.Quantize(layer, four).Dequantized);
        Assert.All(((UniformCodes)result.Codes).RealZeros!, zero => Assert.Equal((float)(Half)zero, zero));
    }

    [Fact]
    public void Cancellation_stops_it() => Assert.Throws<OperationCanceledException>(
        () => new HqqOptions().Quantize(new LinearLayer("sample", 2, 8, new float[16]), Samples.Pool, new CancellationToken(true)));
}
