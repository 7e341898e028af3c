using System;
using System.Linq;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Blocks;
using Lowbit.Kernels.Interleaved;
using Xunit;

namespace Lowbit.Kernels.Tests.Interleaved;

public unsafe class InterleavedProductTests
{
    private readonly WorkerPool _pool = new(2);

    private static readonly ElementFormat[] s_formats = [.. Enum.GetValues<ElementFormat>().Where(InterleavedWeights.Supports)];

    public static TheoryData<ElementFormat> Formats => [.. s_formats];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Oracle_agrees_with_the_dequantized_weights(ElementFormat format)
    {
        foreach ((int rows, int columns, bool extreme) in Shapes(format))
        {
            Tensor tensor = BlockTensors.Random(format, rows, columns, rows + columns, extreme);
            InterleavedWeights weights = InterleavedWeights.Create(_pool, tensor);
            using NativeBuffer w = new((long)rows * columns * 4);
            Dequantizer.ToFloatScalar(format, tensor.Pointer, (long)rows * columns, w.Floats);
            using Activations activations = Input(2, columns, rows, extreme);
            float[] got = new float[2 * rows];
            fixed (float* output = got) weights.MultiplyScalar(_pool, activations, output);
            for (int t = 0; t < 2; t++)
            {
                for (int r = 0; r < rows; r++)
                {
                    double want = 0, magnitude = 0;
                    for (int c = 0; c < columns; c++)
                    {
                        int block = t * activations.Blocks + c / 64;
                        double x = (double)activations.Scales[block] * activations.Codes[64 * block + c % 64];
                        want += w.Floats[(long)r * columns + c] * x;
                        magnitude += (Math.Abs(w.Floats[(long)r * columns + c]) + 1) * Math.Abs(x); // codes and minimum cancel
                    }
                    Assert.True(Math.Abs(want - got[t * rows + r]) <= 1e-6 * magnitude, $"{format} {rows} x {columns}, token {t}, row {r}: {got[t * rows + r]}, expected {want}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Vectors_of_any_width_equal_the_oracle_to_the_bit(ElementFormat format)
    {
        foreach ((int rows, int columns, bool extreme) in Shapes(format))
        {
            InterleavedWeights weights = InterleavedWeights.Create(_pool, BlockTensors.Random(format, rows, columns, rows * columns, extreme));
            foreach (int tokens in rows < 40 ? [1, 2, 3, 4, 5, 7, 8, 17] : new[] { 1, 6 })
            {
                using Activations activations = Input(tokens, columns, tokens, extreme);
                float[] want = new float[tokens * rows];
                fixed (float* output = want) weights.MultiplyScalar(_pool, activations, output);
                if (Lanes512.IsSupported) Equal<Lanes512, Vector512<byte>>(weights, activations, want);
                if (Lanes256.IsSupported) Equal<Lanes256, Vector256<byte>>(weights, activations, want);
                if (Lanes128.IsSupported) Equal<Lanes128, Vector128<byte>>(weights, activations, want);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Results_do_not_depend_on_the_number_of_threads(ElementFormat format)
    {
        DenseMatrix matrix = new(BlockTensors.Random(format, 203, 512, 1));
        using WorkerPool single = new(1), many = new(5);
        foreach (int tokens in new[] { 1, 20 })
        {
            using Activations activations = Input(tokens, 512, 1, extreme: false);
            float[] one = new float[203 * tokens], five = new float[203 * tokens];
            fixed (float* output = one) matrix.Multiply(single, activations, output);
            fixed (float* output = five) matrix.Multiply(many, activations, output);
            Assert.Equal(one, five);
        }
    }

    [Fact]
    public void Scales_that_cannot_be_enlarged_and_subnormal_ones_are_computed_with()
    {
        foreach (float scale in new[] { 60000f, 64, 6e-8f, 1e-5f })
        {
            Tensor tensor = BlockTensors.Random(ElementFormat.Q4_0, 17, 64, 3);
            *(Half*)(tensor.Pointer + tensor.RowBytes) = (Half)scale;
            InterleavedWeights weights = InterleavedWeights.Create(_pool, tensor);
            foreach (int tokens in new[] { 1, 5 })
            {
                using Activations activations = Input(tokens, 64, 1, extreme: false);
                float[] want = new float[17 * tokens], got = new float[17 * tokens];
                fixed (float* output = want) weights.MultiplyScalar(_pool, activations, output);
                fixed (float* output = got) weights.Multiply(_pool, activations, output);
                Assert.Equal(want, got);
                Assert.All(want, value => Assert.True(float.IsFinite(value)));
                if (weights.TilesFor(tokens) == 0) continue;
                fixed (float* output = got) weights.MultiplyTiles(activations, output, 0, weights.TilesFor(tokens));
                Assert.Equal(want, got);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(9)]
    public void Second_product_allocates_nothing(int tokens)
    {
        DenseMatrix matrix = new(BlockTensors.Random(ElementFormat.Q4_0, 40, 96, 1));
        using WorkerPool single = new(1);
        using Activations activations = Input(tokens, 96, 1, extreme: false);
        using NativeBuffer output = new(40 * tokens * 4);
        matrix.Multiply(single, activations, output.Floats);
        long before = GC.GetAllocatedBytesForCurrentThread();
        matrix.Multiply(single, activations, output.Floats);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Scales_that_are_not_finite_are_refused_by_name()
    {
        foreach (ElementFormat format in s_formats)
        {
            foreach (int offset in BlockTensors.Factors(format))
            {
                Tensor tensor = BlockTensors.Random(format, 3, 512, 1);
                *(Half*)(tensor.Pointer + 2 * tensor.RowBytes - format.BlockBytes() + offset) = Half.NegativeInfinity;
                string message = Assert.Throws<LowbitException>(() => InterleavedWeights.Create(_pool, tensor)).Message;
                Assert.Contains("blk.0.weight: row 1", message, StringComparison.Ordinal);
            }
        }
    }

    // Odd numbers of rows and blocks, more columns than one panel, and the largest sums.
    private static (int Rows, int Columns, bool Extreme)[] Shapes(ElementFormat format) => format.BlockLength() == 32
        ? [(1, 32, false), (5, 64, false), (16, 96, true), (17, 544, false), (31, 160, false), (33, 1120, false), (75, 64, true)]
        : [(1, 256, false), (5, 512, true), (17, 768, false), (33, 1280, false), (75, 256, true)];

    private static void Equal<TLanes, TVector>(InterleavedWeights weights, Activations activations, float[] want) where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        // On one thread: a fault at a guard page is that of a kernel, not of the pool.
        using WorkerPool single = new(1);
        foreach (bool tiles in new[] { false, true })
        {
            float[] got = new float[want.Length];
            fixed (float* output = got) weights.Multiply<TLanes, TVector>(single, activations, output, tiles);
            Assert.True(want.AsSpan().SequenceEqual(got), $"{typeof(TLanes).Name}, {activations.Tokens} tokens, tiles {tiles}: {got.Zip(want).Count(p => p.First != p.Second)} of {got.Length} differ");
        }
    }

    private Activations Input(int tokens, int features, int seed, bool extreme)
    {
        Activations activations = new(tokens, features, ActivationMode.EightBit) { Tokens = tokens };
        Random random = new(seed);
        for (int i = 0; i < tokens * features; i++) activations.Values[i] = extreme ? (i / features % 2 == 0 ? 1 : -1) : 4 * random.NextSingle() - 2;
        activations.Quantize(_pool);
        return activations;
    }
}
