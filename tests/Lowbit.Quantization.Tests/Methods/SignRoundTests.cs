using System;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class SignRoundTests
{
    [Fact]
    public void Rounds_one_of_two_weights_up_that_share_an_input()
    {
        // Grid 0, 1, 2, 3; inputs 0 and 1 are the same, so only the sum of the two weights counts, 0.7. Rounding makes it 0 + 0.
        // Both offsets rise until the first weight crosses its border, and 1 + 0 loses less already; then the grid, which
        // the third weight hardly holds, shrinks towards a step of 0.7.
        float[] h = [1, 1, 0, 1, 1, 0, 0, 0, 1e-4f];
        using Hessian hessian = Hessian.FromMatrix("sample", h, 3);
        var layer = new LinearLayer("sample", 1, 3, new float[] { 0.4f, 0.3f, 3 }, hessian);
        QuantizedMatrix result = new SignRoundOptions { Bits = 2 }.Quantize(layer, Samples.Pool);
        Assert.Equal([1, 0, 3], ((UniformCodes)result.Codes).Codes);
        Assert.InRange(result.Dequantized[0] + result.Dequantized[1], 0.6f, 0.8f);
        Assert.Equal([0, 0, 3f], new RtnOptions { Bits = 2 }.Quantize(layer, Samples.Pool).Dequantized);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, false)]
    [InlineData(8, true)]
    public void Never_worse_than_rounding_and_mostly_much_better(int bits, bool symmetric)
    {
        for (int seed = 1; seed < 4; seed++)
        {
            LinearLayer layer = Samples.Layer(40, 48, seed);
            double rounded = new RtnOptions { Bits = bits, GroupSize = 24, Symmetric = symmetric }.Quantize(layer, Samples.Pool).OutputError!.Value;
            double learned = new SignRoundOptions { Bits = bits, GroupSize = 24, Symmetric = symmetric }.Quantize(layer, Samples.Pool).OutputError!.Value;
            Assert.True(learned < 0.7 * rounded, $"seed {seed}: {learned} after {rounded}");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Without_steps_it_is_rounding_to_the_last_bit(bool symmetric)
    {
        LinearLayer layer = Samples.Layer(30, 41, 5);
        Check.SameBits(
            new RtnOptions { Bits = 3, GroupSize = 16, Symmetric = symmetric }.Quantize(layer, Samples.Pool).Dequantized,
            new SignRoundOptions { Bits = 3, GroupSize = 16, Symmetric = symmetric, Iterations = 0 }.Quantize(layer, Samples.Pool).Dequantized);
    }

    [Fact]
    public void Rows_do_not_know_of_each_other()
    {
        const int Columns = 20;
        LinearLayer layer = Samples.Layer(8, Columns, 11);
        float[] all = new SignRoundOptions { Bits = 2, GroupSize = -1 }.Quantize(layer, Samples.Pool).Dequantized;
        var alone = new LinearLayer("sample", 1, Columns, layer.Weight.Slice(5 * Columns, Columns), layer.Hessian);
        Check.SameBits(all.AsSpan(5 * Columns, Columns), new SignRoundOptions { Bits = 2, GroupSize = -1 }.Quantize(alone, Samples.Pool).Dequantized);
    }
}
