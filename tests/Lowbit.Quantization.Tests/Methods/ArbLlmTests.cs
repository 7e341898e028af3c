using System;
using System.Linq;
using Lowbit.Kernels.Codebooks;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Grids;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed unsafe class ArbLlmTests
{
    [Fact]
    public void Refines_as_computed_by_hand()
    {
        // m = 1, α = 1.5, signs − − − +; what is left, 0.5 0.5 0.5 1.5, makes m = 1.75, and then α = (3 · 1.75 + 2.25) / 4.
        Assert.Equal([-0.5f, 2.5f], Levels([0, 0, 0, 4], 1, 0));
        Assert.Equal([-0.125f, 3.625f], Levels([0, 0, 0, 4], 1, 1));
        Assert.Equal([0f, 4f], Levels([0, 0, 0, 4], 1, 100), (a, b) => MathF.Abs(a - b) < 1e-5f);
        // m = 0, α = 3.5 and 1.5 hit all four values at once.
        Assert.Equal([-5f, -2, 2, 5], Levels([-5, -2, 2, 5], 2, 0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_round_never_raises_the_error(int orders)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            float[] weights = Samples.Normal(37, seed);
            double before = double.PositiveInfinity, first = 0, last = 0;
            for (int iterations = 0; iterations <= 15; iterations++)
            {
                double error = Error(weights, orders, iterations, null, (w, codes, levels) => w.Zip(codes).Sum(pair => Math.Pow(pair.First - levels[pair.Second], 2)));
                Assert.InRange(error, 0, before * (1 + 1e-5));
                if (iterations == 0) first = error;
                before = last = error;
            }
            Assert.True(last < first);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Refinement_against_the_inputs_lowers_the_error_of_the_output(int orders)
    {
        const int Width = 24;
        using Hessian hessian = Samples.HessianOf(Samples.Inputs(200, Width, 3), Width);
        for (int seed = 0; seed < 10; seed++)
        {
            float[] weights = Samples.Normal(Width, seed);
            double Output(float[] w, byte[] codes, float[] levels)
            {
                double[] lost = [.. w.Zip(codes).Select(pair => (double)pair.First - levels[pair.Second])];
                return Enumerable.Range(0, Width * Width).Sum(i => lost[i / Width] * hessian.Span[i] * lost[i % Width]);
            }
            double plain = Error(weights, orders, 15, null, Output), aligned = Error(weights, orders, 15, hessian, Output);
            Assert.True(aligned < plain, $"{aligned} {plain}");
        }
    }

    [Fact]
    public void Without_rounds_it_is_the_plain_binarization_of_billm()
    {
        LinearLayer layer = Samples.Layer(24, 64, 4);
        QuantizedMatrix plain = new BiLlmOptions { BlockSize = 64 }.Quantize(layer, Samples.Pool);
        QuantizedMatrix result = new ArbLlmOptions { Variant = ArbVariant.Arb, Iterations = 0, BlockSize = 64 }.Quantize(layer, Samples.Pool);
        bool[] salient = ((CodebookCodes)plain.Codes).SecondClass!;
        for (int i = 0; i < plain.Dequantized.Length; i++)
            if (!salient[i % 64]) Assert.Equal(plain.Dequantized[i], result.Dequantized[i], 1e-7f); // salient ones are split here
    }

    [Fact]
    public void Scales_of_rows_and_columns_find_a_product_of_the_two()
    {
        float[] r = [.. Samples.Normal(32, 1).Select(x => 0.5f + MathF.Abs(x))], c = [.. Samples.Normal(48, 2).Select(x => 0.5f + MathF.Abs(x))], signs = Samples.Normal(32 * 48, 3);
        LinearLayer layer = Samples.Layer(32, 48, 5, editWeight: weight =>
        {
            for (int i = 0; i < weight.Length; i++) weight[i] = MathF.CopySign(r[i / 48] * c[i % 48], signs[i]);
        });
        QuantizedMatrix result = new ArbLlmOptions { Variant = ArbVariant.ArbRc, BlockSize = 48 }.Quantize(layer, Samples.Pool);
        Assert.InRange(result.OutputError!.Value, 0, 1e-6); // column scales are half precision
        Assert.True(new ArbLlmOptions { Variant = ArbVariant.Arb, BlockSize = 48 }.Quantize(layer, Samples.Pool).OutputError > 0.01);
    }

    [Fact]
    public void Scales_of_rows_and_columns_alternate_as_computed_by_hand()
    {
        // w =  1 −3    start: r = mean |w| = 2, 6;  c = mean of |w| / r = (1/2 + 5/6) / 2, (3/2 + 7/6) / 2 = 2/3, 4/3
        //     −5  7    r = Σ c |w| / Σ c², Σ c² = 20/9: (2/3 + 4) · 9/20 = 2.1, (10/3 + 28/3) · 9/20 = 5.7
        //              c = Σ r |w| / Σ r², Σ r² = 36.9: (2.1 + 28.5) / 36.9, (6.3 + 39.9) / 36.9, which is as 51 to 77
        //              about 1, in half precision: c = 51/64, 77/64;  Σ c² = 8530/4096
        //              r once more: (51 + 231) / 64 · 4096 / 8530 = 18048/8530, (255 + 539) / 64 · 4096 / 8530 = 50816/8530
        float[] columnsOfWeights = [1, -5, -3, 7], scores = new float[4], factors = new float[2];
        var codes = new CodebookCodes(2, 2, 2, 2);
        fixed (float* w = columnsOfWeights, s = scores)
            new RowColumnScales(s, w, 2, 2, iterations: 1, new ScaleRounding(ScalePrecision.Float32), Samples.Pool).Binarize([0, 1], breakPoint: 1, codes, 0, factors);
        Assert.Equal([51 / 64f, 77 / 64f], factors);
        Assert.Equal([2, 1, 1, 2], codes.Codes); // concentrated −: 1, concentrated +: 2
        Assert.Equal(18048 / 8530f, codes.Levels[2], 1e-6f);
        Assert.Equal(-50816 / 8530f, codes.Levels[5], 1e-6f);
    }

    [Fact]
    public void Rounds_of_scales_of_rows_and_columns_never_raise_the_error()
    {
        LinearLayer layer = Samples.Layer(40, 64, 6);
        double before = double.PositiveInfinity;
        for (int iterations = 0; iterations <= 15; iterations++)
        {
            QuantizedMatrix result = new ArbLlmOptions { Iterations = iterations, BlockSize = 64 }.Quantize(layer, Samples.Pool);
            double error = 0;
            for (int i = 0; i < result.Dequantized.Length; i++) error += Math.Pow(layer.Weight.Span[i] - result.Dequantized[i], 2);
            Assert.InRange(error, 0, before * (1 + 1e-4)); // the last step rounds column scales
            before = error;
        }
    }

    private static float[] Levels(float[] weights, int orders, int iterations)
    {
        var levels = new float[1 << orders];
        Take(weights, iterations, null).Binarize(levels, orders);
        return levels;
    }

    private static double Error(float[] weights, int orders, int iterations, Hessian? inputs, Func<float[], byte[], float[], double> measure)
    {
        var levels = new float[1 << orders];
        RefinedPart part = Take(weights, iterations, inputs);
        part.Binarize(levels, orders);
        return measure(weights, part.Codes.ToArray(), levels);
    }

    private static RefinedPart Take(float[] weights, int iterations, Hessian? inputs)
    {
        var part = new RefinedPart(weights.Length, iterations, inputs, 0);
        var scores = new float[weights.Length];
        fixed (float* w = weights, s = scores) part.Take(w, s, 1, [.. Enumerable.Range(0, weights.Length)], 1, sparse: false);
        return part;
    }
}
