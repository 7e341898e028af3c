using System;
using System.Collections.Immutable;
using Lowbit.Core;
using Xunit;

namespace Lowbit.Kernels.Tests;

public unsafe class DenseMatrixTests
{
    [Theory]
    [InlineData(ElementFormat.F32)]
    [InlineData(ElementFormat.F16)]
    [InlineData(ElementFormat.BF16)]
    [InlineData(ElementFormat.F64)]
    public void Products_agree_with_double_precision(ElementFormat format)
    {
        foreach ((int rows, int columns) in new[] { (1, 1), (5, 3), (33, 129), (70, 1025), (2000, 700) })
        {
            using NativeBuffer stored = new(format.ByteCount((long)rows * columns));
            DenseMatrix matrix = new(Store(stored, format, rows, columns));
            using NativeBuffer weights = new((long)rows * columns * 4);
            matrix.DequantizeRows(0, rows, weights.Floats);
            foreach (int tokens in new[] { 1, 3, 4, 21 })
            {
                using WorkerPool pool = new(2);
                using Activations activations = new(tokens, columns, ActivationMode.Float) { Tokens = tokens };
                TestValues.Random((long)tokens * columns, 7).Span<float>(0, tokens * columns).CopyTo(new Span<float>(activations.Values, tokens * columns));
                using NativeBuffer output = TestValues.Filled((long)tokens * rows, float.NaN);
                matrix.Multiply(pool, activations, output.Floats);
                for (int t = 0; t < tokens; t++)
                {
                    for (int r = 0; r < rows; r += 1 + rows / 50)
                    {
                        double want = 0;
                        for (int c = 0; c < columns; c++) want += (double)weights.Floats[(long)r * columns + c] * activations.Values[(long)t * columns + c];
                        Assert.True(Math.Abs(want - output.Floats[(long)t * rows + r]) < 1e-6 * (1 + 0.2 * columns), $"{format} {rows} x {columns}, token {t}, row {r}");
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(66)]
    public void Infinite_halves_show_in_their_row_alone(int column)
    {
        using NativeBuffer stored = new(2 * 9 * 70);
        DenseMatrix matrix = new(Store(stored, ElementFormat.F16, 9, 70));
        ((Half*)stored.Pointer)[2 * 70 + column] = Half.NegativeInfinity;
        using WorkerPool pool = new(1);
        using Activations activations = new(1, 70, ActivationMode.Float) { Tokens = 1 };
        new Span<float>(activations.Values, 70).Fill(1);
        using NativeBuffer output = new(9 * 4);
        matrix.Multiply(pool, activations, output.Floats);
        for (int r = 0; r < 9; r++) Assert.Equal(r == 2, float.IsNegativeInfinity(output.Floats[r]));
    }

    [Fact]
    public void One_token_allocates_nothing()
    {
        using NativeBuffer stored = new(2 * 64 * 300);
        DenseMatrix matrix = new(Store(stored, ElementFormat.BF16, 64, 300));
        using WorkerPool pool = new(1);
        using Activations activations = new(1, 300, ActivationMode.Float) { Tokens = 1 };
        using NativeBuffer output = new(64 * 4);
        matrix.Multiply(pool, activations, output.Floats);
        long before = GC.GetAllocatedBytesForCurrentThread();
        matrix.Multiply(pool, activations, output.Floats);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Tensors_that_are_no_matrices_of_numbers_are_refused_by_name()
    {
        byte* memory = stackalloc byte[64];
        foreach (Tensor tensor in new[]
        {
            new Tensor("blk.w", ElementFormat.I32, [2, 2], memory, 16, null),
            new Tensor("blk.w", ElementFormat.F32, [4], memory, 16, null),
            new Tensor("blk.w", ElementFormat.F32, [2, 3], memory, 16, null),
            new Tensor("blk.w", ElementFormat.F32, [0, 4], memory, 0, null),
            new Tensor("blk.w", ElementFormat.Q8_0, [1, 40], memory, 34, null),
        })
        {
            Assert.Contains("blk.w", Assert.Throws<LowbitException>(() => new DenseMatrix(tensor)).Message, StringComparison.Ordinal);
        }
    }

    private static Tensor Store(NativeBuffer stored, ElementFormat format, int rows, int columns)
    {
        Random random = new(rows + columns);
        for (long i = 0; i < (long)rows * columns; i++)
        {
            float value = 2 * random.NextSingle() - 1;
            switch (format)
            {
                case ElementFormat.F32: stored.Floats[i] = value; break;
                case ElementFormat.F16: ((Half*)stored.Pointer)[i] = (Half)value; break;
                case ElementFormat.BF16: ((ushort*)stored.Pointer)[i] = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16); break;
                default: ((double*)stored.Pointer)[i] = value; break;
            }
        }
        return new Tensor("weight", format, ImmutableArray.Create<long>(rows, columns), stored.Pointer, stored.Bytes, stored);
    }
}
