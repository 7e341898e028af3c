using System;
using System.Linq;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class GptaqTests
{
    // A layer whose inputs have an error of their own that follows from its inputs, as after a quantized layer.
    private static (LinearLayer Layer, float[] Inputs, float[] FloatInputs) Drifted(int rows, int columns, int seed, float size)
    {
        float[] inputs = Samples.Inputs(300, columns, seed), noise = Samples.Normal(columns * columns, seed + 3, size / MathF.Sqrt(columns));
        var floatInputs = new float[inputs.Length];
        for (int t = 0; t < 300; t++)
            for (int j = 0; j < columns; j++)
            {
                float sum = inputs[t * columns + j];
                for (int i = 0; i < columns; i++) sum += noise[j * columns + i] * inputs[t * columns + i];
                floatInputs[t * columns + j] = sum;
            }
        Hessian hessian = Hessian.FromInputs(Samples.Pool, "sample", inputs, columns, 64, floatInputs);
        return (new LinearLayer("sample", rows, columns, Samples.Normal(rows * columns, seed + 7, 0.02f), hessian), inputs, floatInputs);
    }

    // ‖X̃ Wᵀ − X Ŵᵀ‖²
    private static double Distance(LinearLayer layer, float[] inputs, float[] floatInputs, float[] quantized)
    {
        int columns = layer.InFeatures;
        double sum = 0;
        for (int t = 0; t < inputs.Length / columns; t++)
            for (int r = 0; r < layer.OutFeatures; r++)
            {
                double error = 0;
                for (int j = 0; j < columns; j++)
                    error += floatInputs[t * columns + j] * layer.Weight.Span[r * columns + j] - inputs[t * columns + j] * quantized[r * columns + j];
                sum += error * error;
            }
        return sum;
    }

    [Fact]
    public void Two_columns_by_hand()
    {
        // X = (1, 1), (1, −1): H = 2 · 1 over two tokens of one sample times 2, U = ½ · 1. X̃ = X + (0, 0.4), (0, −0.4) · … makes the float model's
        // input 1 larger, which column 1 itself cannot pass on; X̃_0 = X_0 + 0.4 X_1 asks column 1 for 0.4 · w_0 more.
        float[] inputs = [1, 1, 1, -1], floatInputs = [1.4f, 1, 0.6f, -1];
        using Hessian hessian = Hessian.FromInputs(Samples.Pool, "sample", inputs, 2, 2, floatInputs);
        Assert.Equal([0, 1.6f, 0, 0], new[] { hessian.Drift(0, 0), hessian.Drift(0, 1), hessian.Drift(1, 0), hessian.Drift(1, 1) }.Select(value => MathF.Round(value, 5)));
        // D Uᵀ right of the diagonal is 1.6 · ½ = 0.8, times U gives P_01 = 0.4. Grid of row (2, 0.2, …): see the range −1 to 2.
        var layer = new LinearLayer("sample", 2, 2, new float[] { 3, 0.2f, 3, 0 }, hessian);
        float[] full = new GptaqOptions { Bits = 2, Damping = 0, Strength = 1 }.Quantize(layer, Samples.Pool).Dequantized;
        Assert.Equal([3, 1, 3, 1], full);   // 0.2 + 0.4 · 3 = 1.4 and 1.2 on the grid 0, 1, 2, 3
        float[] quarter = new GptaqOptions { Bits = 2, Damping = 0 }.Quantize(layer, Samples.Pool).Dequantized;
        Assert.Equal([3, 0, 3, 0], quarter); // 0.2 + 0.3 and 0.3
    }

    [Theory]
    [InlineData(-1, false)]
    [InlineData(16, true)]
    public void With_equal_inputs_it_is_gptq_to_the_last_bit(int groupSize, bool activationOrder)
    {
        const int Columns = 41;
        float[] inputs = Samples.Inputs(200, Columns, 5), weight = Samples.Normal(37 * Columns, 5);
        using Hessian both = Hessian.FromInputs(Samples.Pool, "sample", inputs, Columns, 64, inputs), one = Hessian.FromInputs(Samples.Pool, "sample", inputs, Columns, 64);
        Assert.True(both.HasDrift);
        var options = new GptaqOptions { Bits = 3, GroupSize = groupSize, ActivationOrder = activationOrder, BlockSize = 13 };
        float[] expected = new GptqOptions { Bits = 3, GroupSize = groupSize, ActivationOrder = activationOrder, BlockSize = 13 }.Quantize(new LinearLayer("sample", 37, Columns, weight, one), Samples.Pool).Dequantized;
        foreach (GptaqOptions asymmetric in new[] { options, options with { Strength = 1 }, options with { Strength = 0 } })
            Check.SameBits(expected, asymmetric.Quantize(new LinearLayer("sample", 37, Columns, weight, both), Samples.Pool).Dequantized);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Comes_nearer_to_the_float_models_output_than_gptq(int seed)
    {
        (LinearLayer layer, float[] inputs, float[] floatInputs) = Drifted(40, 48, seed, 0.2f);
        double Lost(double strength, bool activationOrder) => Distance(
            layer, inputs, floatInputs, new GptaqOptions { Bits = 4, ActivationOrder = activationOrder, Strength = strength }.Quantize(layer, Samples.Pool).Dequantized);
        foreach (bool activationOrder in new[] { false, true })
        {
            double gptq = Lost(0, activationOrder), quarter = Lost(0.25, activationOrder), full = Lost(1, activationOrder);
            Assert.True(quarter < gptq && full < quarter, $"{gptq}, a quarter {quarter}, whole {full}");
        }
    }

    [Fact]
    public void Blocks_make_no_difference_but_for_rounding()
    {
        (LinearLayer layer, _, _) = Drifted(33, 40, 4, 0.2f);
        float[] expected = new GptaqOptions { Strength = 1, BlockSize = 128 }.Quantize(layer, Samples.Pool).Dequantized;
        foreach (int block in new[] { 1, 7, 16 })
            Check.Agree(expected, new GptaqOptions { Strength = 1, BlockSize = block }.Quantize(layer, Samples.Pool).Dequantized, 0.98, 1e-6);
    }

    [Fact]
    public void Inputs_of_other_tokens_are_refused() =>
        Assert.Throws<Core.LowbitException>(() => Hessian.FromInputs(Samples.Pool, "sample", new float[8], 2, 2, new float[6]));
}
