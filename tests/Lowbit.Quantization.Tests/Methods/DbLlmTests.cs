using System;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class DbLlmTests
{
    [Fact]
    public void Fits_as_computed_by_hand()
    {
        // s = 2: levels 0 4 −2 2. 4 → 4, 1.5 → 2, 0 → 0, −3 → −2; then α₁ + α₂ = 1.5, α₁ = 4, α₂ = −3 by least squares: three equations,
        // 4 = α₁, 1.5 = α₁ + α₂, −3 = α₂, of which the normal ones are 2 α₁ + α₂ = 5.5 and α₁ + 2 α₂ = −1.5.
        var codes = new byte[4];
        float[] weights = [4, 1.5f, 0, -3];
        Assert.Equal((4, -2), DbLlm.Fit(weights, codes, 0));
        Assert.Equal([1, 3, 0, 2], codes);
        (double first, double second) = DbLlm.Fit(weights, codes, 100);
        Assert.Equal(12.5 / 3, first, 1e-9);
        Assert.Equal(-8.5 / 3, second, 1e-9);
    }

    [Fact]
    public void A_round_never_raises_the_error()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            float[] weights = Samples.Normal(64, seed);
            double before = double.PositiveInfinity;
            for (int iterations = 0; iterations <= 12; iterations++)
            {
                var codes = new byte[64];
                (double first, double second) = DbLlm.Fit(weights, codes, iterations);
                double error = weights.Zip(codes).Sum(pair => Math.Pow(pair.First - first * (pair.Second & 1) - second * (pair.Second >> 1), 2));
                Assert.InRange(error, 0, before * (1 + 1e-6));
                before = error;
            }
        }
    }

    [Fact]
    public void Weights_of_one_plane_leave_the_second_one_empty()
    {
        float[] weights = [.. Samples.Normal(64, 1).Select(x => x > 0 ? 0.75f : 0)];
        var layer = new LinearLayer("sample", 1, 64, weights);
        QuantizedMatrix result = new DbLlmOptions { ScalePrecision = ScalePrecision.Float16 }.Quantize(layer, Samples.Pool);
        Assert.Equal(weights, result.Dequantized);
        Assert.All(((CodebookCodes)result.Codes).Codes, code => Assert.Equal(0, code >> 1));
    }

    [Fact]
    public void Weights_of_two_planes_are_kept()
    {
        float[] levels = [0, 1, -0.375f, 0.625f], random = Samples.Normal(8 * 64, 2);
        float[] weights = [.. random.Select(x => levels[(int)(MathF.Abs(x) * 100) % 4])];
        QuantizedMatrix result = new DbLlmOptions { ScalePrecision = ScalePrecision.Float16 }.Quantize(new LinearLayer("sample", 8, 64, weights), Samples.Pool);
        Assert.Equal(weights, result.Dequantized);
    }
}
