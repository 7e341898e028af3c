using System;
using Lowbit.Core;
using Lowbit.Kernels.PartiallyBinarized;
using Lowbit.Kernels.Tests.Interleaved;
using Lowbit.Kernels.Tests.PartiallyBinarized;
using Xunit;

namespace Lowbit.Kernels.Tests;

public sealed unsafe class ProductsTests
{
    // Weights in tiles of both kinds, one that is computed by itself, few tokens and many.
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 5)]
    [InlineData(3, 2)]
    [InlineData(9, 3)]
    public void Products_shared_out_together_are_those_computed_one_by_one(int tokens, int threads)
    {
        const int Columns = 576;
        WeightMatrix[] weights =
        [
            PackedMatrices.Load(PartiallyBinarizedPacking.Pack(PackedMatrices.Random(203, Columns, 0.1, 1, 8, Columns, Columns), ElementFormat.F16, PositionsForm.Bitmap)),
            new DenseMatrix(BlockTensors.Random(ElementFormat.Q4_0, 77, Columns, 1)),
            PackedMatrices.Load(PartiallyBinarizedPacking.Pack(PackedMatrices.Random(16, Columns, 0.3, 2, 8, 64, 64), ElementFormat.F32, PositionsForm.Bitmap)),
            PackedMatrices.Load(PartiallyBinarizedPacking.Pack(PackedMatrices.Random(40, Columns, 0.1, 1, 8, 100, 64), ElementFormat.F16, PositionsForm.Bitmap)), // groups that cut blocks
            new DenseMatrix(BlockTensors.Random(ElementFormat.Q8_0, 5, Columns, 3)),
        ];
        using WorkerPool pool = new(threads), single = new(1);
        foreach ((int i, int j, int k) in ((int, int, int)[])[(0, 1, 2), (2, 3, 4), (4, 0, 0), (3, 3, 1)])
        {
            using Activations activations = Input(pool, tokens, Columns, i + j + k);
            float[][] got = Array.ConvertAll((int[])[i, j, k], m => new float[weights[m].Rows * tokens]);
            fixed (float* a = got[0], b = got[1], c = got[2])
                Products.Multiply(pool, activations, new(weights[i], a), new(weights[j], b), new(weights[k], c));
            int[] chosen = [i, j, k];
            for (int p = 0; p < 3; p++)
            {
                float[] want = new float[got[p].Length];
                fixed (float* output = want) weights[chosen[p]].Multiply(single, activations, output);
                Assert.Equal(want, got[p]);
            }
        }
    }

    // Each thread keeps the rounded token of the last batch that it saw.
    [Fact]
    public void Inputs_that_take_turns_are_not_mistaken_for_each_other()
    {
        PartiallyBinarizedMatrix matrix = PackedMatrices.Load(
            PartiallyBinarizedPacking.Pack(PackedMatrices.Random(90, 200, 0.1, 1, 8, 200, 200), ElementFormat.F16, PositionsForm.Bitmap));
        using WorkerPool pool = new(3);
        using Activations first = Input(pool, 1, 200, 1), second = Input(pool, 1, 200, 2);
        float[] once = Multiply(first), other = Multiply(second), again = Multiply(first);
        Assert.Equal(once, again);
        Assert.NotEqual(once, other);
        new Span<float>(second.Values, 200).CopyTo(new Span<float>(first.Values, 200));
        first.Quantize(pool);
        Assert.Equal(other, Multiply(first));

        float[] Multiply(Activations activations)
        {
            float[] result = new float[90];
            fixed (float* output = result) matrix.Multiply(pool, activations, output);
            return result;
        }
    }

    private static Activations Input(WorkerPool pool, int tokens, int features, int seed)
    {
        Activations activations = new(tokens, features, ActivationMode.EightBit) { Tokens = tokens };
        Random random = new(seed);
        for (int i = 0; i < tokens * features; i++) activations.Values[i] = 4 * random.NextSingle() - 2;
        activations.Quantize(pool);
        return activations;
    }
}
