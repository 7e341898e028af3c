using System;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Kernels.Composite;
using Lowbit.Kernels.Integers;
using Lowbit.Models;
using Lowbit.Quantization.Calibration;
using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class WaterlineTests
{
    [Theory]
    [InlineData(1.5)]
    [InlineData(2.2)]
    [InlineData(2.7)]
    [InlineData(4)]
    public void The_packed_matrix_has_the_bits_that_were_asked_for(double bits)
    {
        LinearLayer layer = Samples.Layer(256, 192, 3);
        QuantizedMatrix result = new WaterlineOptions { Bits = bits }.Quantize(layer, Samples.Pool);
        double packed = 8.0 * PackedMatrix.Of(result.Codes, ElementFormat.F16)!.Parts.Sum(part => part.Bytes.LongLength) / result.Dequantized.Length;
        Assert.InRange(packed, bits - 0.008, bits + 0.002);
        Assert.Equal(bits - 16.0 / 256, result.NominalBitsPerWeight, 0.006);
        Check.SameBits(result);
    }

    [Fact]
    public void More_bits_mean_less_error_by_six_decibels_each()
    {
        LinearLayer layer = Samples.Layer(256, 128, 5);
        double[] errors = [.. new[] { 2.0, 3, 4, 5 }.Select(bits => new WaterlineOptions { Bits = bits }.Quantize(layer, Samples.Pool).OutputError!.Value)];
        for (int i = 1; i < errors.Length; i++) Assert.InRange(10 * Math.Log10(errors[i - 1] / errors[i]), 5.2, 7.5);
    }

    [Fact]
    public void At_equal_bits_it_beats_gptq_and_partial_binarization()
    {
        LinearLayer layer = Samples.Layer(256, 192, 11);
        foreach (MethodOptions other in new MethodOptions[]
        {
            new GptqOptions { Bits = 3 }, new GptqOptions { Bits = 3, ActivationOrder = true }, new GptqOptions { Bits = 2 },
            new PbLlmOptions { SalientShare = 0.3, SalientBits = 3, Saliency = SaliencyMetric.Hessian },
            new PbLlmOptions { SalientShare = 0.1, Saliency = SaliencyMetric.Hessian },
        })
        {
            QuantizedMatrix theirs = other.Quantize(layer, Samples.Pool);
            QuantizedMatrix ours = new WaterlineOptions { Bits = theirs.NominalBitsPerWeight }.Quantize(layer, Samples.Pool); // their scales are a gift
            Assert.True(ours.OutputError < 0.6 * theirs.OutputError, $"{other.GetType().Name}: {ours.OutputError} against {theirs.OutputError}");
        }
    }

    // Independent inputs of equal energy: nothing to compensate, one step, and the theory of a normal source holds. A uniform
    // grid with an entropy coder is 0.25 bits or 1.53 dB from the bound of 6.02 dB a bit at high rates, nearer at low ones.
    [Theory]
    [InlineData(2.2)]
    [InlineData(3)]
    public void A_normal_source_is_coded_within_a_decibel_and_three_quarters_of_the_bound(double bits)
    {
        const int Rows = 512, Columns = 256;
        var h = new float[Columns * Columns];
        for (int j = 0; j < Columns; j++) h[j * Columns + j] = 1;
        var layer = new LinearLayer("sample", Rows, Columns, Samples.Normal(Rows * Columns, 4, 0.02f), Hessian.FromMatrix("sample", h, Columns));
        QuantizedMatrix result = new WaterlineOptions { Bits = bits }.Quantize(layer, Samples.Pool);
        double codeBits = bits - 16.0 / Rows - 8.0 / Rows - 8.0 / Columns; // what is stored for rows and columns left out
        double decibels = -10 * Math.Log10(result.OutputError!.Value) - 6.0206 * codeBits;
        Assert.InRange(decibels, -1.75, 0);
    }

    [Fact]
    public void Steps_follow_the_diagonal_of_the_factor_before_they_are_refined()
    {
        LinearLayer layer = Samples.UncorrelatedLayer(512, 32, 3); // U_jj = H_jj^−½
        QuantizedMatrix result = new WaterlineOptions { Bits = 5, Damping = 0 }.Quantize(layer, Samples.Pool);
        var steps = ((ScaledInput)((CompositeCodes)result.Codes).Terms[0].Input).Factors;
        double[] ratios = [.. Enumerable.Range(0, 32).Select(j => Math.Log2(steps[j]) + Math.Log2(layer.Hessian!.Diagonal(j)) / 2)];
        Assert.InRange(ratios.Max() - ratios.Min(), 0, 0.15); // an eighth of an octave, and what the least squares moved
    }

    [Fact]
    public void Factors_of_columns_by_least_squares_never_worsen_and_find_what_was_hidden()
    {
        LinearLayer layer = Samples.Layer(64, 24, 9);
        float[] weight = layer.Weight.ToArray(), quantized = new float[weight.Length];
        for (int i = 0; i < weight.Length; i++) quantized[i] = weight[i] * (1 + 0.1f * (i % 24 % 5));
        double[] factors = ColumnFactors.Fit(Samples.Pool, weight, quantized, 64, layer.Hessian!, 0.01, CancellationToken.None);
        for (int j = 0; j < 24; j++) Assert.Equal(1 / (1 + 0.1 * (j % 5)), factors[j], 2e-3);

        for (int i = 0; i < weight.Length; i++) quantized[i] = 0.02f * MathF.Sign(weight[i]);
        double before = OutputError.FromHessian(Samples.Pool, weight, quantized, 64, layer.Hessian!);
        factors = ColumnFactors.Fit(Samples.Pool, weight, quantized, 64, layer.Hessian!, 0.01, CancellationToken.None);
        for (int i = 0; i < weight.Length; i++) quantized[i] *= (float)factors[i % 24];
        Assert.True(OutputError.FromHessian(Samples.Pool, weight, quantized, 64, layer.Hessian!) < before);
    }

    [Fact]
    public void Most_weights_at_few_bits_are_nothing_or_a_sign()
    {
        QuantizedMatrix result = new WaterlineOptions { Bits = 1.6 }.Quantize(Samples.Layer(512, 256, 3), Samples.Pool);
        var codes = (IntegerCodes)((CompositeCodes)result.Codes).Terms[0].Codes;
        Assert.InRange(codes.Values.Count(value => value is >= -1 and <= 1) / (double)codes.Values.Length, 0.85, 1);
    }

    [Fact]
    public void Number_of_threads_changes_no_bit()
    {
        LinearLayer layer = Samples.Layer(75, 130, 9);
        MethodOptions options = new WaterlineOptions { BlockSize = 24 };
        using WorkerPool one = new(1), four = new(4);
        QuantizedMatrix result = options.Quantize(layer, one);
        Check.SameBits(result.Dequantized, options.Quantize(layer, four).Dequantized);
        Assert.All(((ScaledInput)((CompositeCodes)result.Codes).Terms[0].Input).Factors, value => Assert.Equal((float)(Half)value, value));
    }

    [Fact]
    public void Zero_and_constant_rows_dead_inputs_small_and_zero_matrices_are_no_special_case()
    {
        LinearLayer layer = Samples.Layer(40, 20, 2,
            editInputs: inputs =>
            {
                for (int t = 0; t < 256; t++) inputs[t * 20 + 3] = 0;
            },
            editWeight: weight =>
            {
                weight.AsSpan(0, 20).Clear();
                weight.AsSpan(20, 20).Fill(0.25f);
            });
        QuantizedMatrix result = new WaterlineOptions().Quantize(layer, Samples.Pool);
        Check.SameBits(result);
        Assert.All(result.Dequantized, value => Assert.True(float.IsFinite(value)));
        for (int r = 0; r < 40; r++) Assert.Equal(0, result.Dequantized[r * 20 + 3]);
        Assert.InRange(result.OutputError!.Value, 0, 0.5);
        Assert.InRange(new WaterlineOptions().Quantize(Samples.Layer(5, 1, 1), Samples.Pool).OutputError!.Value, 0, 1);
        QuantizedMatrix zero = new WaterlineOptions().Quantize(Samples.Layer(8, 6, 1, editWeight: weight => weight.AsSpan().Clear()), Samples.Pool);
        Assert.All(zero.Dequantized, value => Assert.Equal(0, value));
    }

    [Fact]
    public void An_input_of_a_thousandfold_size_does_not_leave_the_eight_bits()
    {
        LinearLayer layer = Samples.Layer(64, 64, 6, editInputs: inputs =>
        {
            for (int t = 0; t < 256; t++) inputs[t * 64 + 40] *= 10000;
        });
        QuantizedMatrix result = new WaterlineOptions { Bits = 4 }.Quantize(layer, Samples.Pool);
        for (int r = 0; r < 64; r++) Assert.Equal(layer.Weight.Span[r * 64 + 40], result.Dequantized[r * 64 + 40], 0.001f);
        Assert.True(result.OutputError < 0.01);
    }

    [Fact]
    public void Without_hessian_it_says_so_and_cancellation_stops_it()
    {
        Assert.Contains("waterline", Assert.Throws<LowbitException>(() => new WaterlineOptions().Quantize(new LinearLayer("sample", 2, 4, new float[8]), Samples.Pool)).Message, StringComparison.Ordinal);
        Assert.Throws<OperationCanceledException>(() => new WaterlineOptions().Quantize(Samples.Layer(2, 4, 1), Samples.Pool, new CancellationToken(true)));
        Assert.StartsWith("--bits: 7", Assert.Throws<LowbitException>(() => new WaterlineOptions { Bits = 7 }.Quantize(Samples.Layer(2, 4, 1), Samples.Pool)).Message, StringComparison.Ordinal);
    }
}
