using System;
using System.Collections.Generic;
using System.Linq;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Tests.Interleaved;
using Xunit;

namespace Lowbit.Kernels.Tests.Blocks;

public sealed unsafe class BlockEncoderTests
{
    public static IEnumerable<object[]> Formats() => BlockEncoder.Formats.Where(format => format.BlockLength() > 1).Select(format => new object[] { format });

    // The fourth code of TQ2_0 is no ternary digit.
    public static IEnumerable<object[]> SayableFormats() => Formats().Where(format => (ElementFormat)format[0] != ElementFormat.TQ2_0);

    [Fact]
    public void A_block_by_hand()
    {
        // Sixteen levels of 0.5 are met exactly; the first weight lies low in byte 0, the seventeenth high.
        float[] weights = [.. Enumerable.Range(0, 32).Select(i => 0.5f * (i % 16 - 8))];
        byte[] block = new byte[18];
        BlockEncoder.FromFloat(ElementFormat.Q4_0, weights, block);
        Assert.Equal(weights, Decode(ElementFormat.Q4_0, block, 32));
        Assert.Equal(0.5f, (float)BitConverter.ToHalf(block));
        Assert.Equal([.. Enumerable.Range(0, 16).Select(i => (byte)(i | i << 4))], block[2..]);
    }

    [Fact]
    public void Ternary_digits_by_hand()
    {
        float[] weights = [.. Enumerable.Range(0, 256).Select(i => (i % 3 - 1) * 0.25f)];
        foreach (ElementFormat format in new[] { ElementFormat.TQ1_0, ElementFormat.TQ2_0 }) Assert.Equal(weights, Encoded(format, weights));
        // (Σ of the k largest)² / k: 16 for k = 1, 18 for 2, 14.1 for 3, so the two large ones are kept, at 3.
        float[] few = new float[256];
        (few[3], few[200], few[7]) = (4, -2, 0.5f);
        float[] expected = new float[256];
        (expected[3], expected[200]) = (3, -3);
        Assert.Equal(expected, Encoded(ElementFormat.TQ2_0, few));
    }

    [Theory, MemberData(nameof(SayableFormats))]
    public void What_the_format_can_say_it_says_nearly_exactly(ElementFormat format)
    {
        Tensor blocks = BlockTensors.Random(format, 1, 1024, 5);
        float[] weights = new float[1024];
        fixed (float* w = weights) Dequantizer.ToFloat(format, blocks.Pointer, 1024, w);
        // Scales of few bits for random sub-blocks may be met otherwise than they were.
        double most = format switch { ElementFormat.Q2_K => 1e-2, ElementFormat.Q3_K => 1e-3, _ => 2e-4 };
        Assert.True(Loss(weights, Encoded(format, weights)) < most, $"{Loss(weights, Encoded(format, weights))}");
    }

    [Theory]
    [InlineData(ElementFormat.Q8_0, 43.0)]
    [InlineData(ElementFormat.Q6_K, 35.3)]
    [InlineData(ElementFormat.Q5_K, 29.1)]
    [InlineData(ElementFormat.Q5_1, 29.4)]
    [InlineData(ElementFormat.Q5_0, 27.7)]
    [InlineData(ElementFormat.Q4_K, 23.0)]
    [InlineData(ElementFormat.Q4_1, 23.1)]
    [InlineData(ElementFormat.Q4_0, 21.6)]
    [InlineData(ElementFormat.IQ4_NL, 22.5)]
    [InlineData(ElementFormat.MXFP4, 18.5)]
    [InlineData(ElementFormat.Q3_K, 16.7)]
    [InlineData(ElementFormat.Q2_K, 11.5)]
    [InlineData(ElementFormat.TQ2_0, 7.1)]
    [InlineData(ElementFormat.TQ1_0, 7.1)]
    public void Normal_weights_keep_a_ratio_of_signal_to_noise(ElementFormat format, double decibels)
    {
        float[] weights = Normal(16384, 11);
        double found = -10 * Math.Log10(Loss(weights, Encoded(format, weights)));
        Assert.True(found > decibels, $"{format}: {found:F2} dB");
    }

    [Theory, MemberData(nameof(Formats))]
    public void Zeros_stay_zeros_and_small_numbers_do_not_blow_up(ElementFormat format)
    {
        Assert.All(Encoded(format, new float[512]), w => Assert.Equal(0, w));
        float[] tiny = [.. Normal(512, 3).Select(w => 1e-20f * w)];
        Assert.All(Encoded(format, tiny), w => Assert.InRange(w, -1e-6f, 1e-6f));
        float[] single = new float[512];
        single[77] = 3;
        Assert.InRange(Encoded(format, single)[77], 2.5f, 3.5f);
    }

    [Theory, MemberData(nameof(Formats))]
    public void Importance_moves_the_error_to_where_it_counts_less(ElementFormat format)
    {
        if (format == ElementFormat.Q8_0) return; // ggml's rule, without a search
        float[] weights = Normal(8192, 21), importance = [.. Enumerable.Range(0, 8192).Select(i => i % 4 == 0 ? 20f : 1f)];
        double Weighted(float[] rounded) => weights.Select((w, i) => importance[i] * Math.Pow(w - rounded[i], 2)).Sum();
        Assert.True(Weighted(Encoded(format, weights, importance)) < Weighted(Encoded(format, weights)));
    }

    [Theory, MemberData(nameof(Formats))]
    public void Numbers_that_do_not_fit_are_refused(ElementFormat format)
    {
        float[] weights = Normal(512, 2);
        weights[300] = float.NaN;
        Assert.Throws<LowbitException>(() => Encoded(format, weights));
        if (format == ElementFormat.MXFP4) return; // powers of two go further than halves
        weights[300] = 1e12f;
        Assert.Throws<LowbitException>(() => Encoded(format, weights));
    }

    private static float[] Encoded(ElementFormat format, float[] weights, float[]? importance = null)
    {
        byte[] bytes = new byte[format.ByteCount(weights.Length)];
        bytes.AsSpan().Fill(0xA5); // nothing may be left of what was there
        BlockEncoder.FromFloat(format, weights, bytes, importance);
        return Decode(format, bytes, weights.Length);
    }

    private static float[] Decode(ElementFormat format, byte[] bytes, int count)
    {
        float[] values = new float[count];
        fixed (byte* source = bytes)
        fixed (float* destination = values) Dequantizer.ToFloat(format, source, count, destination);
        return values;
    }

    private static double Loss(float[] weights, float[] rounded) =>
        weights.Select((w, i) => Math.Pow((double)w - rounded[i], 2)).Sum() / weights.Sum(w => (double)w * w);

    private static float[] Normal(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(0.02 * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
