using System;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Uniform;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class OmniQuantTests
{
    [Fact]
    public void Starts_from_slightly_clipped_grids()
    {
        // σ(4) = 0.98201: the range −1 to 2 becomes −0.982 to 1.964, with 2 bits steps of 0.982 and zero at code 1.
        LinearLayer layer = new("sample", 1, 4, new float[] { -1, 2, 0.4f, 0.6f }, Samples.UncorrelatedLayer(1, 4, 1).Hessian);
        QuantizedMatrix result = new OmniQuantOptions { Bits = 2, Scales = false, Iterations = 0 }.Quantize(layer, Samples.Pool);
        float step = 1 / (1 + MathF.Exp(-4));
        var codes = (UniformCodes)result.Codes;
        Assert.Equal(step, codes.Scales[0], 1e-6f);
        Assert.Equal([0, 3, 1, 2], codes.Codes);
        Assert.Equal(1, codes.Zeros[0]);
    }

    [Fact]
    public void An_outlier_that_does_not_matter_is_clipped()
    {
        // The last input is nearly silent, so its weight 3 should not stretch the grid of 15 weights within ±0.5.
        const int Columns = 16;
        float[] weight = Samples.Normal(Columns, 3, 0.25f), h = new float[Columns * Columns];
        weight[^1] = 3;
        for (int j = 0; j < Columns; j++) h[j * (Columns + 1)] = j == Columns - 1 ? 1e-4f : 1;
        using Hessian hessian = Hessian.FromMatrix("sample", h, Columns);
        var layer = new LinearLayer("sample", 1, Columns, weight, hessian);
        double rounded = new RtnOptions { Bits = 3 }.Quantize(layer, Samples.Pool).OutputError!.Value;
        QuantizedMatrix clipped = new OmniQuantOptions { Bits = 3, GroupSize = -1, Scales = false }.Quantize(layer, Samples.Pool);
        Assert.True(clipped.OutputError < 0.3 * rounded, $"{clipped.OutputError} after {rounded}");
        Assert.True(clipped.Dequantized[^1] < 2, $"{clipped.Dequantized[^1]}");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Learning_never_loses_and_scales_help(int seed)
    {
        LinearLayer layer = Samples.Layer(40, 48, seed);
        var options = new OmniQuantOptions { Bits = 3, GroupSize = 24 };
        double start = (options with { Iterations = 0 }).Quantize(layer, Samples.Pool).OutputError!.Value;
        double clipped = (options with { Scales = false }).Quantize(layer, Samples.Pool).OutputError!.Value;
        double both = options.Quantize(layer, Samples.Pool).OutputError!.Value;
        Assert.True(clipped < start, $"{start}, clipped {clipped}");
        Assert.True(both < 0.9 * clipped, $"{start}, clipped {clipped}, both {both}");
    }

    [Fact]
    public void Scales_start_where_smoothquant_has_them()
    {
        LinearLayer layer = Samples.Layer(20, 24, 1);
        QuantizedMatrix result = new OmniQuantOptions { Exponent = 0.5, Iterations = 0 }.Quantize(layer, Samples.Pool);
        float[] expected = InputScales.Factors(SmoothQuant.Scales(layer, layer.Hessian!, 0.5)), factors = ((ScaledInput)((CompositeCodes)result.Codes).Terms[0].Input).Factors;
        for (int j = 0; j < 24; j++) Assert.InRange(factors[j] / expected[j], 0.999f, 1.001f);
    }
}
