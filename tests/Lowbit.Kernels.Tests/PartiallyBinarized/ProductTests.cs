using System;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Xunit;

namespace Lowbit.Kernels.Tests.PartiallyBinarized;

public unsafe class ProductTests
{
    private readonly WorkerPool _pool = new(2);

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_tiles_equal_the_oracle_to_the_bit() => EqualsOracle((matrix, activations, output) => matrix.MultiplyTiles<TileProductAvx2>(_pool, activations, (float*)output));

    [InstructionSetFact(nameof(Avx512Vbmi2))]
    public void Avx512_tiles_equal_the_oracle_to_the_bit() => EqualsOracle((matrix, activations, output) => matrix.MultiplyTiles<TileProductAvx512>(_pool, activations, (float*)output));

    [Fact]
    public void Oracle_agrees_with_dequantized_weights_and_rounded_activations()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 40, 64, 129, 576 })
        {
            foreach ((int lowBits, int highBits) in new[] { (0, 2), (0, 8), (1, 2), (1, 5), (1, 8), (2, 2), (2, 8) })
            {
                foreach (double salient in new[] { 0, 0.1, 1 })
                {
                    PartiallyBinarizedCodes codes = PackedMatrices.Random(11, columns, salient, lowBits, highBits, 64, columns, ++seed);
                    using Activations activations = Input(3, columns, seed, ActivationMode.EightBit);
                    float[] got = new float[33];
                    fixed (float* output = got)
                        PackedMatrices.Load(PartiallyBinarizedPacking.Pack(codes, ElementFormat.F32, PositionsForm.Bitmap)).MultiplyScalar(_pool, activations, output);
                    Close(codes, activations, got, integers: true);
                }
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(200)]
    public void Tokens_are_rounded_to_twelve_bits_and_every_choice_of_four_is_in_a_table(int features)
    {
        using Activations activations = Input(2, features, 3, ActivationMode.EightBit);
        RoundedTokens tokens = RoundedTokens.Make(_pool, activations, 0, 2, tables: true);
        for (int t = 0; t < 2; t++)
        {
            RoundedToken token = tokens.Token(t);
            ReadOnlySpan<float> values = new(activations.Values + t * features, features);
            int largest = 0, padded = (features + 63) / 64 * 64;
            for (int i = 0; i < padded; i++)
            {
                int x = token.Value(i);
                largest = Math.Max(largest, Math.Abs(x));
                Assert.True(i < features ? Math.Abs(values[i] - token.Scale * x) <= 0.5001f * token.Scale : x == 0);
                Assert.InRange(token.Lower[i], -32, 31);
                Assert.InRange(token.Upper[i], -32, 32);
            }
            Assert.Equal(2047, largest);
            for (int first = 0; first < padded; first += 4)
            {
                byte* table = token.Tables + first / 64 * RoundedTokens.TableBytes + first / 32 % 2 * 256 + first / 4 % 2 * 128 + first / 8 % 4 * 16;
                for (int n = 0; n < 16; n++)
                {
                    int sum = 0;
                    for (int j = 0; j < 4; j++) sum += (n >> j & 1) * token.Value(first + j);
                    Assert.Equal(sum + RoundedTokens.SumOffset, table[n] + 128 * table[64 + n]);
                }
            }
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(0)]
    public void Values_that_are_not_finite_or_all_zero_show_in_every_output(float value)
    {
        PartiallyBinarizedMatrix matrix = PackedMatrices.Load(
            PartiallyBinarizedPacking.Pack(PackedMatrices.Random(5, 130, 0.1, 1, 8, 130, 130), ElementFormat.F16, PositionsForm.Bitmap));
        using Activations activations = new(1, 130, ActivationMode.EightBit) { Tokens = 1 };
        activations.Values[129] = value;
        activations.Quantize(_pool);
        float* output = stackalloc float[5];
        matrix.Multiply(_pool, activations, output);
        for (int r = 0; r < 5; r++) Assert.Equal(value == 0 ? 0 : float.NaN, output[r]);
    }

    [Theory]
    [InlineData(ActivationMode.EightBit)]
    [InlineData(ActivationMode.Float)]
    public void Public_product_agrees_with_the_definition_for_few_and_many_tokens_and_any_groups(ActivationMode mode)
    {
        int seed = 0;
        foreach (int columns in new[] { 3, 64, 200, 576 })
        {
            foreach (int group in new[] { 64, 128, 100, 7, 10_000 })
            {
                foreach (int tokens in new[] { 1, 2, 7, 8, 16, 35 })
                {
                    PartiallyBinarizedCodes codes = PackedMatrices.Random(13, columns, 0.1, 1 + seed % 2, 8, group, 64, ++seed);
                    PartiallyBinarizedMatrix matrix = PackedMatrices.Load(PartiallyBinarizedPacking.Pack(codes, ElementFormat.F32, PositionsForm.Bitmap));
                    using Activations activations = Input(tokens, columns, seed, mode);
                    float[] got = new float[13 * tokens];
                    fixed (float* output = got) matrix.Multiply(_pool, activations, output);
                    Close(codes, activations, got, matrix.UsesIntegers(activations));
                }
            }
        }
    }

    [Theory]
    [InlineData(ActivationMode.EightBit, 1)]
    [InlineData(ActivationMode.EightBit, 20)]
    [InlineData(ActivationMode.Float, 1)]
    [InlineData(ActivationMode.Float, 20)]
    public void Results_do_not_depend_on_the_number_of_threads(ActivationMode mode, int tokens)
    {
        PartiallyBinarizedMatrix matrix = PackedMatrices.Load(
            PartiallyBinarizedPacking.Pack(PackedMatrices.Random(203, 576, 0.1, 1, 8, 576, 576), ElementFormat.F16, PositionsForm.Bitmap));
        using Activations activations = Input(tokens, 576, 1, mode);
        float[] one = new float[203 * tokens], five = new float[203 * tokens];
        using WorkerPool single = new(1), many = new(5);
        fixed (float* output = one) matrix.Multiply(single, activations, output);
        fixed (float* output = five) matrix.Multiply(many, activations, output);
        Assert.Equal(one, five);
    }

    [Theory]
    [InlineData(ActivationMode.EightBit, 1)]
    [InlineData(ActivationMode.EightBit, 9)]
    [InlineData(ActivationMode.EightBit, 20)]
    [InlineData(ActivationMode.Float, 1)]
    public void Second_product_allocates_nothing(ActivationMode mode, int tokens)
    {
        PartiallyBinarizedMatrix matrix = PackedMatrices.Load(
            PartiallyBinarizedPacking.Pack(PackedMatrices.Random(40, 200, 0.1, 1, 8, 200, 200), ElementFormat.F16, PositionsForm.Bitmap));
        using WorkerPool single = new(1);
        using Activations activations = Input(tokens, 200, 1, mode);
        using NativeBuffer output = new(40 * tokens * 4);
        matrix.Multiply(single, activations, output.Floats);
        long before = GC.GetAllocatedBytesForCurrentThread();
        activations.Quantize(single);
        matrix.Multiply(single, activations, output.Floats);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    // Every part of the matrix ends at a page that cannot be read.
    private void EqualsOracle(Action<PartiallyBinarizedMatrix, Activations, nint> multiply)
    {
        for (int columns = 1; columns <= 300; columns++) Compare(1 + columns % 19, columns, 0.1, 1, 8, columns, columns, false);
        foreach (int columns in new[] { 576, 1000, 1536 })
        {
            for (int lowBits = 0; lowBits <= 2; lowBits++)
            {
                for (int highBits = 2; highBits <= 8; highBits++)
                {
                    foreach (double salient in new[] { 0, 0.1, 0.2, 0.5, 1 })
                    {
                        Compare(9, columns, salient, lowBits, highBits, columns, 128, false);
                        Compare(8, columns, salient, lowBits, highBits, 64, columns, true);
                        if (highBits % 3 == 2) Compare(37, 4000, salient, lowBits, highBits, 4000, 4000, true);
                    }
                }
            }
        }

        // One distance everywhere, from a column on that differs from row to row; behind a block of salient weights, so that there are many, or alone.
        for (int distance = 1; distance <= 40; distance++)
        {
            foreach (int block in new[] { 0, 700 })
            {
                PartiallyBinarizedCodes codes = PackedMatrices.Random(21, 2500, 1, 1, 8, 2500, 2500, distance);
                Thin(codes, (row, column) => column < block || column >= block + 20 * row && column % distance == row % distance);
                CompareCodes(codes, distance, false);
            }
        }
        Compare(65_536 + 20, 40, 0.1, 1, 8, 40, 40, false); // rows are sorted in spans
        foreach (int step in new[] { 64, 255, 256, 700, 2000 })
        {
            PartiallyBinarizedCodes codes = PackedMatrices.Random(16, 4500, 1, 1, 8, 4500, 4500, step);
            Thin(codes, (_, column) => column % step == step - 1);
            CompareCodes(codes, step, false);
        }

        void Compare(int rows, int columns, double salient, int lowBits, int highBits, int lowGroup, int highGroup, bool extreme)
        {
            int seed = rows + columns;
            CompareCodes(PackedMatrices.Random(rows, columns, salient, lowBits, highBits, lowGroup, highGroup, seed, extreme), seed, extreme);
        }

        void CompareCodes(PartiallyBinarizedCodes codes, int seed, bool extreme)
        {
            int rows = codes.Rows, columns = codes.Columns;
            PartiallyBinarizedMatrix matrix = PackedMatrices.Load(
                PartiallyBinarizedPacking.Pack(codes, seed % 2 == 0 ? ElementFormat.F16 : ElementFormat.F32, PositionsForm.Bitmap));
            using Activations activations = Input(2, columns, seed, ActivationMode.EightBit, extreme);
            float[] want = new float[2 * rows], got = new float[2 * rows];
            fixed (float* output = want) matrix.MultiplyScalar(_pool, activations, output);
            fixed (float* output = got) multiply(matrix, activations, (nint)output);
            Assert.Equal(want, got);
        }
    }

    private static void Thin(PartiallyBinarizedCodes codes, Func<int, int, bool> isSalient)
    {
        for (int i = 0; i < codes.Codes.Length; i++)
        {
            if (isSalient(i / codes.Columns, i % codes.Columns)) continue;
            codes.Salient[i] = false;
            codes.Codes[i] &= (byte)((1 << codes.LowBits) - 1);
        }
    }

    private Activations Input(int tokens, int features, int seed, ActivationMode mode, bool extreme = false)
    {
        Activations activations = new(tokens, features, mode) { Tokens = tokens };
        Random random = new(seed);
        for (int i = 0; i < tokens * features; i++) activations.Values[i] = extreme ? (i < features ? 1 : -1) : 4 * random.NextSingle() - 2;
        activations.Quantize(_pool);
        return activations;
    }

    private void Close(PartiallyBinarizedCodes codes, Activations activations, float[] got, bool integers)
    {
        for (int t = 0; t < activations.Tokens; t++)
        {
            RoundedToken rounded = RoundedTokens.Make(_pool, activations, t, 1, tables: false).Token(0);
            for (int r = 0; r < codes.Rows; r++)
            {
                double want = 0, magnitude = 0;
                for (int c = 0; c < codes.Columns; c++)
                {
                    double x = integers ? (double)rounded.Scale * rounded.Value(c) : activations.Values[t * codes.Columns + c];
                    want += codes.Dequantize(r, c) * x;
                    magnitude += Math.Abs(codes.Dequantize(r, c) * x);
                }
                // Sums of the salient part cancel against zero · high, which the magnitude of the dequantized weights does not show.
                magnitude += 0.11 * 255 * codes.Columns / 64;
                Assert.True(Math.Abs(want - got[t * codes.Rows + r]) <= 1e-6 * (1 + magnitude), $"token {t}, row {r}: {got[t * codes.Rows + r]}, expected {want}");
            }
        }
    }
}
