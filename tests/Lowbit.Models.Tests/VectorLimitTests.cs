using System;
using System.Collections.Generic;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Models.Conversion;
using Xunit;

namespace Lowbit.Models.Tests;

/// <summary>The limit holds for the whole process, so that nothing else may compute meanwhile.</summary>
[CollectionDefinition(nameof(VectorLimitTests), DisableParallelization = true)]
[Collection(nameof(VectorLimitTests))]
public sealed unsafe class VectorLimitTests : IDisposable
{
    public void Dispose() => VectorLimit.Bits = 512;

    public static TheoryData<string> Formats => [.. RandomMatrix.Formats];

    [Theory]
    [MemberData(nameof(Formats))]
    public void KernelsOfAllWidthsAgree(string format)
    {
        const int Rows = 40, Columns = 512;
        using WorkerPool pool = new(2);
        WeightMatrix matrix = RandomMatrix.Create(format, Rows, Columns);
        IReadOnlyList<int> widths = matrix.KernelWidths;
        Assert.Equal(0, widths[^1]);
        foreach (int tokens in new[] { 1, 4, 20 })
        {
            float[] widest = Product(tokens);
            Assert.Contains(widest, value => value != 0);
            float largest = 0;
            foreach (float value in widest) largest = Math.Max(largest, Math.Abs(value));
            foreach (int width in widths)
            {
                VectorLimit.Bits = width;
                float[] limited = Product(tokens);
                VectorLimit.Bits = 512;
                if (width == widths[0]) Assert.Equal(widest, limited);
                for (int i = 0; i < widest.Length; i++) Assert.InRange(limited[i], widest[i] - 0.005f * largest, widest[i] + 0.005f * largest); // some take floats without vectors
            }
        }

        float[] Product(int tokens)
        {
            using Activations activations = new(tokens, Columns, ActivationMode.EightBit) { Tokens = tokens };
            SplitMix64 random = new(3);
            for (int i = 0; i < tokens * Columns; i++) activations.Values[i] = (float)(2 * random.NextDouble() - 1);
            activations.Quantize(pool);
            float[] output = new float[tokens * Rows];
            fixed (float* y = output) matrix.Multiply(pool, activations, y);
            return output;
        }
    }

    [Fact]
    public void TheWidestKernelIsThatOfTheProcessor()
    {
        Assert.Equal([0], Widths(0));
        Assert.DoesNotContain(512, Widths(256));
        if (System.Runtime.Intrinsics.Vector128.IsHardwareAccelerated) Assert.Equal([128, 0], Widths(128));

        static IReadOnlyList<int> Widths(int limit)
        {
            VectorLimit.Bits = limit;
            return RandomMatrix.Create("Q4_0", 16, 256).KernelWidths;
        }
    }
}
