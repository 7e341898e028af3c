using System;
using System.Runtime.Intrinsics;
using Lowbit.Core;
using Lowbit.Kernels.Interleaved;
using Lowbit.Kernels.Levels;
using Lowbit.Kernels.PartiallyBinarized;
using Xunit;

namespace Lowbit.Kernels.Tests;

/// <summary>Checks of products that all packed matrices share.</summary>
internal static unsafe class PackedProducts
{
    public static Activations Input(int tokens, int features, int seed, ActivationMode mode, WorkerPool pool)
    {
        Activations activations = new(tokens, features, mode) { Tokens = tokens };
        Random random = new(seed);
        for (long i = 0; i < (long)tokens * features; i++) activations.Values[i] = 2 * random.NextSingle() - 1;
        activations.Quantize(pool);
        return activations;
    }

    /// <summary>
    /// The product is that of the definition with the activations that the mode gives, up to the slack in parts of the sum of
    /// absolute values: rounding of sums, or more where activations are rounded in other places than here.
    /// </summary>
    public static void AgreesWithDefinition(MatrixCodes codes, WeightMatrix matrix, ActivationMode mode, int tokens, WorkerPool pool, double slack = 1e-6)
    {
        using Activations activations = Input(tokens, codes.Columns, tokens, mode, pool);
        float[] got = new float[(long)tokens * codes.Rows];
        fixed (float* output = got) matrix.Multiply(pool, activations, output);
        bool? integers = (matrix as PartiallyBinarizedMatrix)?.UsesIntegers(activations);
        for (int t = 0; t < tokens; t++)
        {
            RoundedToken rounded = integers == true ? RoundedTokens.Make(pool, activations, t, 1, tables: false).Token(0) : default;
            for (int r = 0; r < codes.Rows; r++)
            {
                double want = 0, size = 0;
                for (int c = 0; c < codes.Columns; c++)
                {
                    long block = (long)t * activations.Blocks + c / Activations.BlockLength;
                    double x = integers == true
                        ? (double)rounded.Scale * rounded.Value(c)
                        : integers is null && mode == ActivationMode.EightBit && slack < 1e-3
                            ? (double)activations.Scales[block] * activations.Codes[Activations.BlockLength * block + c % Activations.BlockLength]
                            : activations.Values[(long)t * codes.Columns + c];
                    want += codes.Dequantize(r, c) * x;
                    size += Math.Abs(codes.Dequantize(r, c) * x);
                }
                Assert.Equal(want, got[t * codes.Rows + r], slack * size + 1e-7);
            }
        }
    }

    /// <summary>A kernel that makes levels in registers gives the product of the definition, up to rounding of sums.</summary>
    public static void RowsAgreeWithDefinition<TDot>(MatrixCodes codes, LevelMatrix matrix, ActivationMode mode, int tokens) where TDot : struct, ILevelDot
    {
        Assert.True(matrix.HasLevelRows);
        using WorkerPool single = new(1); // a fault at a guard page is that of a kernel, not of the pool
        using Activations activations = Input(tokens, codes.Columns, tokens, mode, single);
        float[] got = new float[(long)tokens * codes.Rows];
        fixed (float* output = got) matrix.MultiplyRows<TDot>(single, activations, output);
        for (int t = 0; t < tokens; t++)
            for (int r = 0; r < codes.Rows; r++)
            {
                double want = 0, size = 0;
                for (int c = 0; c < codes.Columns; c++)
                {
                    long block = (long)t * activations.Blocks + c / Activations.BlockLength;
                    double x = mode == ActivationMode.EightBit
                        ? (double)activations.Scales[block] * activations.Codes[Activations.BlockLength * block + c % Activations.BlockLength]
                        : activations.Values[(long)t * codes.Columns + c];
                    want += codes.Dequantize(r, c) * x;
                    size += Math.Abs(codes.Dequantize(r, c) * x);
                }
                Assert.Equal(want, got[t * codes.Rows + r], 1e-6 * size + 1e-30);
            }
    }

    /// <summary>Products with interleaved rows and vectors of any width equal the oracle to the bit, and that the definition up to rounding of sums.</summary>
    public static void InterleavedRowsAgree(MatrixCodes codes, LevelMatrix matrix, WorkerPool pool)
    {
        foreach (int tokens in new[] { 1, 2, 3, 4, 9 })
        {
            using Activations activations = Input(tokens, codes.Columns, tokens, ActivationMode.EightBit, pool);
            InterleavedWeights weights = matrix.Interleaved!.Get(pool);
            float[] want = new float[tokens * codes.Rows];
            fixed (float* output = want) weights.MultiplyScalar(pool, activations, output);
            if (Lanes512.IsSupported) Equal<Lanes512, Vector512<byte>>(weights, activations, want, pool);
            if (Lanes256.IsSupported) Equal<Lanes256, Vector256<byte>>(weights, activations, want, pool);
            if (Lanes128.IsSupported) Equal<Lanes128, Vector128<byte>>(weights, activations, want, pool);
            AgreesWithDefinition(codes, matrix, ActivationMode.EightBit, tokens, pool, 2e-6);
        }
    }

    private static void Equal<TLanes, TVector>(InterleavedWeights weights, Activations activations, float[] want, WorkerPool pool)
        where TLanes : struct, ILanes<TVector> where TVector : struct
    {
        foreach (bool tiles in new[] { false, true })
        {
            float[] got = new float[want.Length];
            fixed (float* output = got) weights.Multiply<TLanes, TVector>(pool, activations, output, tiles);
            Assert.Equal(want, got);
        }
    }

    public static void DoesNotDependOnThreads(WeightMatrix matrix, ActivationMode mode, int tokens)
    {
        float[] one = new float[(long)tokens * matrix.Rows], five = new float[(long)tokens * matrix.Rows];
        using WorkerPool single = new(1), many = new(5);
        using Activations activations = Input(tokens, matrix.Columns, 1, mode, single);
        fixed (float* output = one) matrix.Multiply(single, activations, output);
        fixed (float* output = five) matrix.Multiply(many, activations, output);
        Assert.Equal(one, five);
    }

    public static void SecondProductAllocatesNothing(WeightMatrix matrix, ActivationMode mode, int tokens)
    {
        using WorkerPool pool = new(1);
        using Activations activations = Input(tokens, matrix.Columns, 1, mode, pool);
        SecondProductAllocatesNothing(matrix, activations, pool);
    }

    public static void SecondProductAllocatesNothing(WeightMatrix matrix, Activations activations, WorkerPool pool)
    {
        using NativeBuffer output = new((long)activations.Tokens * matrix.Rows * sizeof(float));
        matrix.Multiply(pool, activations, output.Floats);
        long least = long.MaxValue;
        for (int i = 0; i < 5; i++) // a collection that another test causes moves the counter
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            matrix.Multiply(pool, activations, output.Floats);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        Assert.Equal(0, least);
    }

    /// <summary>Rows are rebuilt as the definition says, to the bit, and nothing is written beyond them.</summary>
    public static void DequantizesToTheBit(MatrixCodes codes, WeightMatrix matrix)
    {
        float[] want = new float[(long)codes.Rows * codes.Columns];
        for (int r = 0; r < codes.Rows; r++)
            for (int c = 0; c < codes.Columns; c++) want[r * codes.Columns + c] = codes.Dequantize(r, c);
        float[] whole = new float[want.Length];
        codes.Dequantize(whole);
        Assert.Equal(want, whole);
        GuardedMemory got = new(4L * want.Length);
        matrix.DequantizeRows(0, codes.Rows, (float*)got.Pointer);
        Assert.Equal(want, new Span<float>(got.Pointer, want.Length).ToArray());
        int last = codes.Rows - 1;
        GuardedMemory row = new(4L * codes.Columns);
        matrix.DequantizeRows(last, 1, (float*)row.Pointer);
        Assert.Equal(want.AsSpan(last * codes.Columns).ToArray(), new Span<float>(row.Pointer, codes.Columns).ToArray());
        Assert.ThrowsAny<ArgumentException>(() => matrix.DequantizeRows(last, 2, (float*)got.Pointer));
    }
}
