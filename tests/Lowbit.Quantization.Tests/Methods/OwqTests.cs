using System;
using System.Linq;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class OwqTests
{
    [Fact]
    public void Weak_column_takes_up_the_error_by_hand()
    {
        // On the grid 0, 1, 2, 3 both 0.4 and 2.4 lose 0.4, but H_00 = 2 and H_11 = 200: column 1 is weak and comes last. What
        // 0.4 → 0 loses it makes up for: w_1 ← w_1 + 0.4 · H_01 / H_11 = 2.402.
        float[] h = [2, 1, 0, 0, 1, 200, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
        using Hessian hessian = Hessian.FromMatrix("sample", h, 4);
        var layer = new LinearLayer("sample", 1, 4, new float[] { 0.4f, 2.4f, 3, 0 }, hessian);
        QuantizedMatrix result = new OwqOptions { Bits = 2, Damping = 0, Share = 0.25 }.Quantize(layer, Samples.Pool);
        Assert.Equal(0, result.Dequantized[0]);
        Assert.Equal((float)(Half)2.402f, result.Dequantized[1]);
        Assert.Equal([3, 0], result.Dequantized[2..]);
        var codes = (CompositeCodes)result.Codes;
        Assert.Equal([1], ((SelectedInput)codes.Terms[1].Input).Columns);
        Assert.Equal(1f, ((UniformCodes)codes.Terms[0].Codes).Scales[0]);
    }

    [Theory]
    [InlineData(-1, false)]
    [InlineData(16, false)]
    [InlineData(-1, true)]
    [InlineData(16, true)]
    public void Without_weak_columns_it_is_gptq_to_the_last_bit(int groupSize, bool activationOrder)
    {
        LinearLayer layer = Samples.Layer(37, 41, 5);
        Check.SameBits(
            new GptqOptions { Bits = 3, GroupSize = groupSize, ActivationOrder = activationOrder, BlockSize = 13 }.Quantize(layer, Samples.Pool).Dequantized,
            new OwqOptions { Bits = 3, GroupSize = groupSize, ActivationOrder = activationOrder, BlockSize = 13, Share = 0 }.Quantize(layer, Samples.Pool).Dequantized);
    }

    [Fact]
    public void With_all_columns_weak_nothing_but_half_precision_is_lost()
    {
        QuantizedMatrix result = new OwqOptions { Share = 1 }.Quantize(Samples.Layer(20, 24, 1), Samples.Pool);
        Assert.InRange(result.OutputError!.Value, 0, 1e-6);
        Assert.Single(((CompositeCodes)result.Codes).Terms);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void More_weak_columns_lose_less(int seed)
    {
        LinearLayer layer = Samples.Layer(48, 40, seed);
        double[] errors = [.. new[] { 0, 0.05, 0.2, 0.5 }.Select(share => new OwqOptions { Bits = 3, Share = share }.Quantize(layer, Samples.Pool).OutputError!.Value)];
        Assert.True(errors[1] < errors[0] && errors[2] < 0.7 * errors[1] && errors[3] < 0.5 * errors[2], string.Join(", ", errors));
    }
}
