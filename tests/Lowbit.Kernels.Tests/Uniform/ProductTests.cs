using System;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Uniform;
using Xunit;

namespace Lowbit.Kernels.Tests.Uniform;

public unsafe class ProductTests
{
    private readonly WorkerPool _pool = new(2);

    [InstructionSetFact(nameof(Avx2))]
    public void Avx2_equals_the_oracle_to_the_bit() => EqualsOracle<UniformProductAvx2>();

    [InstructionSetFact(nameof(Avx512F))]
    public void Avx512_equals_the_oracle_to_the_bit() => EqualsOracle<UniformProductAvx512>();

    [Fact]
    public void Interleaved_rows_of_any_width_equal_their_oracle_to_the_bit_and_agree_with_the_definition()
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 63, 64, 65, 300, 576 })
        {
            for (int bits = 2; bits <= 8; bits++)
            {
                foreach (int group in new[] { columns, 64, 128, 32, 16 })
                {
                    int rows = 1 + ++seed * 7 % 53;
                    bool extreme = seed % 2 == 0;
                    if (group == 16 && columns > 16 && (bits > 5 || seed % 3 == 0)) continue; // not interleaved
                    UniformCodes codes = UniformMatrices.Random(rows, columns, bits, Math.Min(group, columns), seed, realZeros: seed % 3 == 0, extreme: extreme);
                    var matrix = (UniformMatrix)UniformMatrices.Load(UniformPacking.Pack(codes, ElementFormat.F16));
                    foreach (int tokens in new[] { 1, 2, 6 })
                    {
                        using Activations activations = Input(tokens, columns, seed, ActivationMode.EightBit, extreme);
                        float[] want = new float[tokens * rows];
                        fixed (float* output = want) matrix.Interleaved.Get(_pool).MultiplyScalar(_pool, activations, output);
                        Close(codes, activations, want, 0);
                        if (Lanes512.IsSupported) Equal<Lanes512, Vector512<byte>>(matrix, activations, want);
                        if (Lanes256.IsSupported) Equal<Lanes256, Vector256<byte>>(matrix, activations, want);
                        if (Lanes128.IsSupported) Equal<Lanes128, Vector128<byte>>(matrix, activations, want);
                    }
                }
            }
        }
    }

    private void Equal<TLanes, TVector>(UniformMatrix matrix, Activations activations, float[] want)
        where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        foreach (bool tiles in new[] { false, true })
        {
            float[] got = new float[want.Length];
            fixed (float* output = got) matrix.Interleaved.Get(_pool).Multiply<TLanes, TVector>(_pool, activations, output, tiles);
            Assert.Equal(want, got);
        }
    }

    [Theory]
    [InlineData(ActivationMode.EightBit)]
    [InlineData(ActivationMode.Float)]
    public void Product_agrees_with_the_definition_for_few_and_many_tokens_and_any_groups(ActivationMode mode)
    {
        int seed = 0;
        foreach (int columns in new[] { 3, 64, 200, 576 })
        {
            foreach (int group in new[] { 64, 128, 100, 32, 10_000 })
            {
                foreach (int tokens in new[] { 1, 2, 7, 8, 19 })
                {
                    UniformCodes codes = UniformMatrices.Random(13, columns, 2 + seed % 7, Math.Min(group, columns), ++seed, realZeros: seed % 2 == 0);
                    WeightMatrix matrix = UniformMatrices.Load(UniformPacking.Pack(codes, seed / 2 % 2 == 0 ? ElementFormat.F16 : ElementFormat.F32));
                    using Activations activations = Input(tokens, columns, seed, mode);
                    float[] got = new float[13 * tokens];
                    fixed (float* output = got) matrix.Multiply(_pool, activations, output);
                    Close(codes, activations, got, mode == ActivationMode.EightBit ? 0 : 1e-6);
                }
            }
        }
    }

    [Theory]
    [InlineData(ActivationMode.EightBit)]
    [InlineData(ActivationMode.Float)]
    public void Scattered_groups_give_the_product_of_the_natural_order(ActivationMode mode)
    {
        foreach (int tokens in new[] { 1, 9, 2 })
        {
            UniformCodes codes = UniformMatrices.Random(13, 300, 4, 64, tokens, scattered: true);
            WeightMatrix matrix = UniformMatrices.Load(UniformPacking.Pack(codes, ElementFormat.F16));
            Assert.IsType<ReorderedMatrix>(matrix);
            using Activations activations = Input(tokens, 300, 1, mode);
            float[] got = new float[13 * tokens];
            fixed (float* output = got) matrix.Multiply(_pool, activations, output);
            // Activations are rounded in stored order, so only the error of rounding bounds the difference from the floats.
            Close(codes, activations, got, mode == ActivationMode.EightBit ? 0.01 : 1e-6, rounded: false);
        }
    }

    [Theory]
    [InlineData(ActivationMode.EightBit, 1)]
    [InlineData(ActivationMode.EightBit, 20)]
    [InlineData(ActivationMode.Float, 1)]
    public void Results_do_not_depend_on_the_number_of_threads(ActivationMode mode, int tokens)
    {
        WeightMatrix matrix = UniformMatrices.Load(UniformPacking.Pack(UniformMatrices.Random(203, 576, 3, 64, 1), ElementFormat.F16));
        using Activations activations = Input(tokens, 576, 1, mode);
        float[] one = new float[203 * tokens], five = new float[203 * tokens];
        using WorkerPool single = new(1), many = new(5);
        fixed (float* output = one) matrix.Multiply(single, activations, output);
        fixed (float* output = five) matrix.Multiply(many, activations, output);
        Assert.Equal(one, five);
    }

    [Theory]
    [InlineData(ActivationMode.EightBit, 1, false)]
    [InlineData(ActivationMode.EightBit, 9, true)]
    [InlineData(ActivationMode.Float, 1, true)]
    public void Second_product_allocates_nothing(ActivationMode mode, int tokens, bool scattered)
    {
        WeightMatrix matrix = UniformMatrices.Load(UniformPacking.Pack(UniformMatrices.Random(40, 200, 4, 64, 1, scattered: scattered), ElementFormat.F16));
        using WorkerPool single = new(1);
        using Activations activations = Input(tokens, 200, 1, mode);
        PackedProducts.SecondProductAllocatesNothing(matrix, activations, single);
    }

    // Every part of the matrix ends at a page that cannot be read.
    private void EqualsOracle<TKernel>() where TKernel : struct, IUniformProduct
    {
        int seed = 0;
        foreach (int columns in new[] { 1, 63, 64, 65, 128, 300, 576, 1000 })
        {
            for (int bits = 2; bits <= 8; bits++)
            {
                foreach (int group in new[] { columns, 64, 128 })
                {
                    foreach (bool extreme in new[] { false, true })
                    {
                        int rows = 1 + ++seed % 19;
                        UniformCodes codes = UniformMatrices.Random(rows, columns, bits, Math.Min(group, columns), seed, realZeros: seed % 3 == 0, extreme: extreme);
                        var matrix = (UniformMatrix)UniformMatrices.Load(UniformPacking.Pack(codes, seed % 2 == 0 ? ElementFormat.F16 : ElementFormat.F32));
                        using Activations activations = Input(2, columns, seed, ActivationMode.EightBit, extreme);
                        float[] want = new float[2 * rows], got = new float[2 * rows];
                        fixed (float* output = want) matrix.MultiplyEightBit<UniformProductScalar>(_pool, activations, output);
                        fixed (float* output = got) matrix.MultiplyEightBit<TKernel>(_pool, activations, output);
                        Assert.Equal(want, got);
                        Close(codes, activations, want, 0);
                    }
                }
            }
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

    private static void Close(UniformCodes codes, Activations activations, float[] got, double tolerance, bool rounded = true)
    {
        for (int t = 0; t < activations.Tokens; t++)
        {
            for (int r = 0; r < codes.Rows; r++)
            {
                double want = 0, magnitude = 0;
                for (int c = 0; c < codes.Columns; c++)
                {
                    int block = t * activations.Blocks + c / 64;
                    double x = rounded && activations.Mode == ActivationMode.EightBit
                        ? (double)activations.Scales[block] * activations.Codes[64 * block + c % 64] : activations.Values[t * codes.Columns + c];
                    float scale = codes.Scales[r * codes.Groups + codes.GroupOf(c)];
                    want += codes.Dequantize(r, c) * x;
                    magnitude += scale * (1 << codes.Bits) * Math.Abs(x); // zero · Σ x cancels against Σ q x
                }
                Assert.True(Math.Abs(want - got[t * codes.Rows + r]) <= Math.Max(tolerance, 1e-6) * magnitude + 1e-9, $"token {t}, row {r}: {got[t * codes.Rows + r]}, expected {want}");
            }
        }
    }
}
