using System;
using System.Linq;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class ActivationsTests
{
    private const int Block = Activations.BlockLength;

    [Fact]
    public void Vector_form_equals_the_scalar_one_to_the_bit()
    {
        float* values = stackalloc float[Block];
        sbyte* scalar = stackalloc sbyte[Block], vector = stackalloc sbyte[Block];
        foreach (Func<Random, int, float> make in Adversaries)
        {
            for (int seed = 0; seed < 200; seed++)
            {
                Random random = new(seed);
                for (int i = 0; i < Block; i++) values[i] = make(random, i);
                float scale = Activations.QuantizeScalar(values, scalar, out int sum);
                Assert.Equal(BitConverter.SingleToInt32Bits(scale), BitConverter.SingleToInt32Bits(Activations.QuantizeVector(values, vector, out int vectorSum)));
                Assert.Equal(sum, vectorSum);
                Assert.True(new Span<sbyte>(scalar, Block).SequenceEqual(new Span<sbyte>(vector, Block)));
            }
        }
    }

    private static readonly Func<Random, int, float>[] Adversaries =
    [
        (random, _) => 2 * random.NextSingle() - 1,
        (random, _) => 1e30f * (random.NextSingle() - 0.5f),
        (random, _) => 1e-36f * random.NextSingle(),
        (_, _) => 0,
        (_, i) => i % 2 == 0 ? float.MaxValue : -float.MaxValue,
        (random, i) => i == 63 ? 127 : random.Next(-127, 127) + 0.5f, // halves
        (random, i) => i == 5 ? float.NaN : random.NextSingle(),
        (random, i) => i == 6 ? float.NegativeInfinity : random.NextSingle(),
        (_, _) => -0f,
        (random, i) => i == 9 ? 1000 : random.NextSingle(),
    ];

    [Fact]
    public void Codes_scales_and_sums_at_every_length()
    {
        using WorkerPool pool = new(2);
        for (int features = 1; features <= 300; features++)
        {
            const int Tokens = 9;
            using Activations activations = new(Tokens, features, ActivationMode.EightBit) { Tokens = Tokens };
            TestValues.Random(Tokens * features, features, 4).Span<float>(0, Tokens * features).CopyTo(new Span<float>(activations.Values, Tokens * features));
            activations.Quantize(pool);
            for (int t = 0; t < Tokens; t++)
            {
                for (int b = 0; b < activations.Blocks; b++)
                {
                    int block = t * activations.Blocks + b, count = Math.Min(Block, features - b * Block);
                    Span<float> values = new(activations.Values + t * features + b * Block, count);
                    Span<sbyte> codes = new(activations.Codes + block * Block, Block);
                    float largest = 0;
                    foreach (float value in values) largest = Math.Max(largest, Math.Abs(value));
                    Assert.Equal(largest / 127, activations.Scales[block]);
                    Assert.Equal(codes.ToArray().Sum(c => c), activations.Sums[block]);
                    for (int i = 0; i < count; i++)
                    {
                        Assert.True(Math.Abs(values[i] - codes[i] * activations.Scales[block]) <= 0.5001f * activations.Scales[block]);
                        Assert.Equal(codes[i] * activations.Scales[block], activations.RoundedValues[t * features + b * Block + i]);
                    }
                    foreach (sbyte padding in codes[count..]) Assert.Equal(0, padding);
                }
            }
        }
    }

    [Fact]
    public void Halves_go_to_even()
    {
        using WorkerPool pool = new(1);
        using Activations activations = new(1, 4, ActivationMode.EightBit) { Tokens = 1 };
        new float[] { 127, 0.5f, 1.5f, -2.5f }.CopyTo(new Span<float>(activations.Values, 4));
        activations.Quantize(pool);
        Assert.Equal(new sbyte[] { 127, 0, 2, -2 }, new Span<sbyte>(activations.Codes, 4).ToArray());
    }

    [Fact]
    public void A_block_with_infinity_or_nan_shows_it_and_the_others_are_spared()
    {
        using WorkerPool pool = new(1);
        using Activations activations = new(1, 192, ActivationMode.EightBit) { Tokens = 1 };
        new Span<float>(activations.Values, 192).Fill(2);
        activations.Values[3] = float.NaN;
        activations.Values[191] = float.PositiveInfinity;
        activations.Quantize(pool);
        Assert.True(float.IsNaN(activations.Scales[0]));
        Assert.Equal(2f / 127, activations.Scales[1]);
        Assert.True(float.IsNaN(activations.Scales[2]));
    }
}
