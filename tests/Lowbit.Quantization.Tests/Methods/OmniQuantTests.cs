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
    public void Takes_a_step_as_computed_by_hand()
    {
        // w = −1 2 0.4 0.6, H = 1, two bits, σ = σ(4) = 0.982: step h = (2 σ + σ) / 3 = 0.982, so ŵ = −0.982 1.964 0 0.982,
        // e = ŵ − w = 0.018 −0.036 −0.4 0.382 and w / h = −1.018 2.037 0.407 0.611.
        //   by h      Σ e (round(w / h) − w / h) = 0.018 · 0.018 + 0.036 · 0.037 + 0.4 · 0.407 + 0.382 · 0.389 = 0.313
        //   by ends   0.313 / 3 by the upper one, −0.313 / 3 by the lower one; times max 2, times min −1: both positive
        //   by ln s   e (w − ŵ) = −e² is below 0.0014 at the ends, where 0.104 · 1.964 = 0.205 and 0.104 · 0.982 = 0.102 go
        //             through max and min: positive. Between them −0.16 and −0.146.
        // The first step of Adam is the sign of a gradient times the rate: γ = β = 3.95, ln s = −0.025 −0.025 0.025 0.025.
        float[] identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
        using Hessian hessian = Hessian.FromMatrix("sample", identity, 4);
        var layer = new LinearLayer("sample", 1, 4, new float[] { -1, 2, 0.4f, 0.6f }, hessian);
        var options = new OmniQuantOptions { Bits = 2, Iterations = 1 };
        float range = 1 / (1 + MathF.Exp(-3.95f)), scale = MathF.Exp(0.025f);
        // Clipping alone: steps of σ(3.95), which loses less.
        QuantizedMatrix clipped = (options with { Scales = false }).Quantize(layer, Samples.Pool);
        Assert.Equal([-range, 2 * range, 0, range], clipped.Dequantized, (a, b) => MathF.Abs(a - b) < 1e-5f);
        // With scales w s = −0.975 1.951 0.410 0.615 on steps of σ(3.95) e^−0.025, divided by s again.
        QuantizedMatrix scaled = options.Quantize(layer, Samples.Pool);
        var term = ((CompositeCodes)scaled.Codes).Terms[0];
        Assert.Equal([scale, scale, 1 / scale, 1 / scale], ((ScaledInput)term.Input).Factors, (a, b) => MathF.Abs(a - b) < 5e-4f); // half precision
        Assert.Equal(range / scale, ((UniformCodes)term.Codes).Scales[0], 5e-4f);
        Assert.Equal([-range, 2 * range, 0, range / (scale * scale)], scaled.Dequantized, (a, b) => MathF.Abs(a - b) < 1e-3f);
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
